"""Job durations in earlier queues of this machine."""

from collections.abc import Iterable
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

from spawn.core.errors import SpawnError
from spawn.store.log import read

_MAX_BYTES = 8 * 1024 * 1024
"""Larger logs are skipped: `status` must not read a million events."""
_SUBMISSIONS = "SELECT line FROM events WHERE type IN ('QueueSubmitted', 'JobsSubmitted')"
_COMPLETIONS = "SELECT job_id, line FROM events WHERE type = 'JobCompleted'"


class _Job(Struct):
    job_id: str
    command: str


class _Config(Struct):
    jobs: list[_Job] = []


class _SubmittedData(Struct):
    config: _Config | None = None
    jobs: list[_Job] = []


class _Submitted(Struct):
    data: _SubmittedData


class _CompletedData(Struct):
    wall_seconds: float = 0.0


class _Completed(Struct):
    data: _CompletedData


def past_durations(logs: Iterable[Path], commands: dict[str, str]) -> dict[str, float]:
    """Find how long jobs with the same id and command took in earlier queues.

    Args:
        logs: Event logs of other queues.
        commands: The current command of each job, by job id.

    Returns:
        The median in seconds by job id, of the jobs that completed before.
    """
    seen: dict[str, list[float]] = {}
    for path in logs:
        try:
            if path.stat().st_size <= _MAX_BYTES:
                _collect(path, commands, seen)
        except (OSError, SpawnError, msgspec.DecodeError):
            continue  # an estimate is not worth an error; `verify` reports a damaged log
    return {job_id: median(times) for job_id, times in seen.items()}


def _collect(path: Path, commands: dict[str, str], seen: dict[str, list[float]]) -> None:
    with read.open_log(path) as connection:
        same = set()
        for (line,) in connection.execute(_SUBMISSIONS):
            data = msgspec.json.decode(line, type=_Submitted).data
            jobs = (data.config.jobs if data.config else []) + data.jobs
            same |= {job.job_id for job in jobs if commands.get(job.job_id) == job.command}
        if not same:
            return
        for job_id, line in connection.execute(_COMPLETIONS):
            name = job_id.decode()
            if name in same:
                completed = msgspec.json.decode(line, type=_Completed)
                seen.setdefault(name, []).append(completed.data.wall_seconds)
