"""Check that resuming a queue has an effect, and list what a new configuration changes."""

import re
from collections.abc import Iterable, Iterator

from msgspec import structs

from spawn.core.config.model import QueueConfig
from spawn.core.domain.state import QueueState
from spawn.core.errors import InvalidArgument, NothingToDo
from spawn.core.values.durations import format_compact
from spawn.core.values.timestamps import seconds_between

_LOCATION_FIELDS = ("result_s3_bucket", "result_s3_prefix")
_MAX_CHANGES = 20
_JOB_CHANGE = re.compile(r"job ([^ :]+)(?:: | is )")
_REST = re.compile(r"and \d+ more")


def config_of(state: QueueState) -> QueueConfig:
    """Return a queue's whole configuration, including its jobs."""
    return structs.replace(state.config, jobs=tuple(job.config for job in state.jobs.values()))


def check_resumable(
    state: QueueState, *, retry_failed: bool, config: QueueConfig | None, from_s3: bool = False
) -> None:
    """Check that resuming the queue has an effect.

    Args:
        config: The new configuration, if any.
        from_s3: Whether the user gave `--from-s3`, which the hints then repeat.

    Raises:
        NothingToDo: Resuming would change nothing.
        InvalidArgument: The new configuration cannot replace the old one.
    """
    queue_id = state.queue_id
    again = f"spawn queue resume {queue_id}{' --from-s3' if from_s3 else ''}"
    if state.state == "completed":
        raise NothingToDo(
            f"queue {queue_id} has completed; nothing is left to do",
            hint=f"`spawn queue results {queue_id}` downloads its results",
        )
    if config is not None:
        _check_config(state, config)
        left = [
            job_id for job_id in state.failed if job_id not in changed_failed_jobs(state, config)
        ]
        gone = state.failed.keys() - {job.job_id for job in config.jobs}
        if config.on_failure == "stop" and set(left) - gone and not retry_failed:
            raise NothingToDo(
                f"queue {queue_id} would fail again",
                why=f"{', '.join(left[:5])} failed, and the new configuration does not change that",
                hint="`--retry-failed` retries failed jobs",
            )
        return
    if state.state != "failed" or state.upload_failed:
        return
    if state.reason == "global_timeout" and not state.failed:
        raise NothingToDo(
            f"queue {queue_id} has used up its global_timeout",
            hint=f"`{again} --global-timeout DURATION` sets a longer limit",
        )
    if not retry_failed:
        failed = ", ".join(list(state.failed)[:5]) or "the remaining jobs"
        cancelled = state.reason == "cancelled"
        raise NothingToDo(
            f"queue {queue_id} was cancelled"
            if cancelled
            else f"queue {queue_id} has failed and would fail again",
            why="cancelled and failed jobs are not retried automatically"
            if cancelled
            else f"{len(state.failed)} of its jobs failed: {failed}",
            hint=f"`{again} --retry-failed` retries {failed}",
        )


def describe_changes(state: QueueState, config: QueueConfig) -> tuple[str, ...]:
    """Describe the changes of a new configuration, one text each, at most `_MAX_CHANGES`."""
    found = list(_changes(state, config))
    more = len(found) - _MAX_CHANGES
    return tuple([*found[:_MAX_CHANGES], f"and {more} more"] if more > 0 else found)


def changes_for_job(changes: Iterable[str], job_id: str) -> tuple[str, ...]:
    """Return the changes that affect a job or the whole queue.

    Args:
        changes: What `describe_changes` returned. The log keeps only these texts.
    """
    return tuple(
        each
        for each in changes
        if not _REST.fullmatch(each)
        and ((of_job := _JOB_CHANGE.match(each)) is None or of_job[1] == job_id)
    )


def changed_failed_jobs(state: QueueState, config: QueueConfig) -> list[str]:
    """Return the failed jobs that a new configuration changes, which are therefore retried."""
    new = {job.job_id: job for job in config.jobs}
    return [
        job_id
        for job_id in state.failed
        if job_id in new and new[job_id] != state.jobs[job_id].config
    ]


def _changes(state: QueueState, config: QueueConfig) -> Iterator[str]:
    old = structs.asdict(state.config)
    for name, value in structs.asdict(config).items():
        if name not in ("jobs", "queue_id") and value != old[name]:
            yield f"{name}: {_text(name, old[name])} -> {_text(name, value)}"
    new = {job.job_id: job for job in config.jobs}
    for job_id, job in new.items():
        if job_id not in state.jobs:
            yield f"job {job_id} is new"
        elif job != state.jobs[job_id].config:
            before = structs.asdict(state.jobs[job_id].config)
            names = [name for name, value in structs.asdict(job).items() if value != before[name]]
            yield f"job {job_id}: {', '.join(names)}"
    for job_id in state.jobs:
        if job_id not in new:
            yield f"job {job_id} is gone"


def _text(name: str, value: object) -> str:
    if name in ("global_timeout", "kill_grace", "upload_wait") and isinstance(value, float):
        return format_compact(value)
    return "none" if value is None else str(value)


def _check_config(state: QueueState, config: QueueConfig) -> None:
    for name in _LOCATION_FIELDS:
        if getattr(config, name) != getattr(state.config, name):
            raise InvalidArgument(
                f"the new configuration changes {name}",
                why="existing results could no longer be found",
                hint=f"keep the previous {name}",
            )
    limit = config.global_timeout
    if limit is not None and limit <= state.owned_seconds and _unfinished(state, config):
        raise InvalidArgument(
            f"the global_timeout of {format_compact(limit)} has already expired",
            why=f"queue {state.queue_id} has run for {format_compact(state.owned_seconds)}",
            hint="global_timeout includes the time that the queue has already run",
        )


def _unfinished(state: QueueState, config: QueueConfig) -> bool:
    completed = {job_id for job_id, job in state.jobs.items() if job.state == "completed"}
    return any(job.job_id not in completed for job in config.jobs)


def owned_seconds(state: QueueState, reported: float | None, *, interval: float) -> float | None:
    """Return the seconds of an epoch without an end in the log; None if it has an end.

    The runner's last reported value comes from a monotonic clock and may be slightly old. The
    stamps of its events may cover later time. They are trusted for up to two report intervals after
    the last report, because a busy machine may report late.

    Args:
        reported: Seconds in the runner's last report; None if only the stamps are known.
        every: The report interval in seconds.
    """
    if not state.owned_since:
        return None
    stamps = max(0.0, seconds_between(state.owned_since, state.last_at))
    if reported is None:
        return stamps
    return round(max(reported, min(stamps, reported + 2 * interval)), 3)
