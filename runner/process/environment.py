"""The environment variables of a command."""

import os
from collections.abc import Mapping

from spawn.core.config import references
from spawn.runner.ports import CannotStart


def environment(
    runner: Mapping[bytes, bytes],
    job: Mapping[str, str],
    *,
    queue_id: str,
    job_id: str,
    attempt: int,
    folder: str,
    token: str,
) -> dict[bytes, bytes]:
    """Build the environment of an attempt's command.

    The job's variables override the runner's, and spawn's own override both. `${NAME}` in a job's
    value is the runner's NAME, resolved when the attempt starts: the log has only the reference.

    Raises:
        CannotBegin: A reference names a variable that the runner does not have.
    """
    own = {
        "JOB_ID": job_id,
        "JOB_ATTEMPT": str(attempt),
        "QUEUE_ID": queue_id,
        "SPAWN_PROGRESS_FILE": f"{folder}/progress",
        "SPAWN_INTERRUPTION_FILE": interruption_file(folder),
        "SPAWN_RUN": token,
    }
    return {**runner, **_encode(_resolve(job, runner)), **_encode(own)}


def interruption_file(folder: str) -> str:
    """Path of the file that tells an attempt when its instance will be interrupted."""
    return f"{folder}/interruption"


def _resolve(job: Mapping[str, str], runner: Mapping[bytes, bytes]) -> dict[str, str]:
    if not job:
        return {}
    available = {os.fsdecode(name): os.fsdecode(value) for name, value in runner.items()}
    resolved = {}
    for name, value in job.items():
        try:
            resolved[name] = references.resolve(value, available)
        except KeyError as error:
            missing = error.args[0]
            raise CannotStart(
                f"environment.{name} needs ${{{missing}}}, which the runner's environment lacks"
            ) from None
    return resolved


def _encode(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}
