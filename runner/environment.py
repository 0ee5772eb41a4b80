"""The environment that a command runs in."""

import os
from collections.abc import Mapping

from spawn.core.config import references
from spawn.runner.ports import CannotBegin


def environment(
    runner: Mapping[str, str],
    job: Mapping[str, str],
    *,
    queue_id: str,
    job_id: str,
    attempt: int,
    folder: str,
    token: str,
) -> dict[bytes, bytes]:
    """Build it: the runner's own, the job's over it, then what spawn tells the command.

    `${NAME}` in one of the job's values is the runner's NAME, looked up now: the log keeps the
    reference, never the value.

    Raises:
        CannotBegin: A reference names a variable that the runner does not have.
    """
    whole = {
        **runner,
        **{name: _resolve(name, value, runner) for name, value in job.items()},
        "JOB_ID": job_id,
        "JOB_ATTEMPT": str(attempt),
        "QUEUE_ID": queue_id,
        "SPAWN_PROGRESS_FILE": f"{folder}/progress",
        "SPAWN_INTERRUPTION_FILE": f"{folder}/interruption",
        "SPAWN_RUN": token,
    }
    return {os.fsencode(name): os.fsencode(value) for name, value in whole.items()}


def _resolve(name: str, value: str, runner: Mapping[str, str]) -> str:
    try:
        return references.resolve(value, runner)
    except KeyError as error:
        raise CannotBegin(
            f"environment.{name} needs ${{{error.args[0]}}}, which the runner's environment lacks"
        ) from None
