"""The environment that a command runs in."""

import os
from collections.abc import Mapping

from spawn.core.config import references
from spawn.runner.ports import CannotBegin


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
    """Build it: the runner's own, the job's over it, then what spawn tells the command.

    `${NAME}` in one of the job's values is the runner's NAME, looked up now: the log keeps the
    reference, never the value.

    Raises:
        CannotBegin: A reference names a variable that the runner does not have.
    """
    told = {
        "JOB_ID": job_id,
        "JOB_ATTEMPT": str(attempt),
        "QUEUE_ID": queue_id,
        "SPAWN_PROGRESS_FILE": f"{folder}/progress",
        "SPAWN_INTERRUPTION_FILE": interruption_file(folder),
        "SPAWN_RUN": token,
    }
    return {**runner, **_encode(_resolve(job, runner)), **_encode(told)}


def interruption_file(folder: str) -> str:
    """Where an attempt finds the moment by which it must have ended, once there is one."""
    return f"{folder}/interruption"


def _resolve(job: Mapping[str, str], runner: Mapping[bytes, bytes]) -> dict[str, str]:
    if not job:
        return {}
    theirs = {os.fsdecode(name): os.fsdecode(value) for name, value in runner.items()}
    resolved = {}
    for name, value in job.items():
        try:
            resolved[name] = references.resolve(value, theirs)
        except KeyError as error:
            lacking = error.args[0]
            raise CannotBegin(
                f"environment.{name} needs ${{{lacking}}}, which the runner's environment lacks"
            ) from None
    return resolved


def _encode(variables: Mapping[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}
