"""Build the report of a queue's state."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from msgspec import structs

from spawn.core.domain.attempt_exit import unended_text
from spawn.core.domain.plan import is_stopping
from spawn.core.domain.state import JobState, QueueState
from spawn.core.reports.model import JobReport, LiveData, Replica, Report, Trouble, UnloggedEnd
from spawn.core.reports.progress import seconds_left
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.timestamps import parse_timestamp

LATE_SECONDS = 5.0
"""Replication lag in seconds above which the report mentions the replica."""

_NO_LIVE_DATA = LiveData()


def build(
    state: QueueState,
    now: datetime,
    *,
    live: Mapping[str, LiveData] | None = None,
    earlier: Mapping[str, float] | None = None,
    runner_alive: bool | None = None,
    replica: Replica | None = None,
    endings: Mapping[str, UnloggedEnd] | None = None,
    troubles: tuple[Trouble, ...] = (),
    past: bool = False,
    lost: int = 0,
) -> Report:
    """Report a queue at `now`, or at its newest event if that is later.

    Args:
        live: What the machine knows about jobs beyond the log, by job id.
        earlier: Duration of each job in earlier queues in seconds, by job id.
        runner_alive: Whether the queue has a runner, if known.
        replica: State of the log's copy; reported only if replication fails or lags.
        endings: How running jobs ended whose end is not in the log yet, by job id.
        troubles: The runner's current troubles.
        past: Whether the user chose `now` with `--at`.
        lost: Number of newest events that the log has lost.
    """
    now = max(now, parse_timestamp(state.last_at))  # the clock may have been set back
    live = live or {}
    earlier = earlier or {}
    jobs = tuple(
        _job(state, job, now, live.get(job.config.job_id, _NO_LIVE_DATA), earlier)
        for job in state.jobs.values()
    )
    if endings:
        jobs = tuple(
            _unnoticed(job, endings[job.job_id], now) if job.job_id in endings else job
            for job in jobs
        )
    started = parse_timestamp(state.started_at) if state.started_at else None
    ended = parse_timestamp(state.ended_at) if state.ended_at else None
    estimate = seconds_left(state, _remaining(jobs, earlier))
    left, without = (None, ()) if runner_alive is False else estimate
    next_job, next_after = _next_job(state)
    return Report(
        queue_id=state.queue_id,
        queue_name=state.config.queue_name,
        instance_id=state.owner.instance_id if state.owner else "local",
        status=state.state,
        reason=_reason(state),
        as_of=now,
        submitted_at=parse_timestamp(state.submitted_at),
        started_at=started,
        ended_at=ended,
        elapsed=_elapsed(started, ended or now) if started else 0.0,
        counts={
            "total": len(state.jobs),
            **{status: state.counts[status] for status in _COUNT_ORDER},
        },
        jobs=jobs,
        results_location=state.owner.results_location if state.owner else "",
        next_job=next_job,
        next_after=next_after,
        estimated_completion=None if left is None else now + timedelta(seconds=left),
        estimated_without=without,
        runner_alive=runner_alive,
        replica=replica if replica is not None and _is_notable(replica, now) else None,
        troubles=troubles,
        is_past=past,
        warnings=tuple(_warnings(state, live, replica, lost)),
        lost_events=lost,
    )


_COUNT_ORDER = ("completed", "running", "pending", "failed", "retrying", "blocked")


def _job(
    state: QueueState, job: JobState, now: datetime, live: LiveData, earlier: Mapping[str, float]
) -> JobReport:
    running = job.state == "running"
    outcome = job.outcome
    started = parse_timestamp(job.started_at) if job.started_at else None
    elapsed = _elapsed(started, now) if running and started else None
    timeout = job.config.timeout
    coming = job.state == "retrying" and not state.ended
    retry_at = parse_timestamp(job.retry_at) if coming else None
    left = _time_left(elapsed, live, earlier.get(job.config.job_id)) if running else None
    return JobReport(
        config=job.config,
        status=job.state,
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        attempt=job.attempt,
        started_at=started,
        ended_at=parse_timestamp(job.ended_at) if outcome else None,
        elapsed=elapsed,
        duration=None if outcome is None else outcome.wall_seconds,
        timeout_remaining=None
        if timeout is None or elapsed is None
        else max(0.0, timeout - elapsed),
        exit_code=None if outcome is None else outcome.exit_code,
        signal=None if outcome is None else outcome.signal,
        timed_out=outcome is not None and outcome.timed_out,
        pid=job.pid,
        blocked_by=_blocked_by(state, job),
        retry_at=retry_at,
        retry_in=None if retry_at is None else min(job.delay, _elapsed(now, retry_at)),
        why=job.why,
        last_lines=job.last_lines,
        log_file=job.log_file if live.log_file is None else live.log_file,
        progress=live.progress if running else None,
        time_remaining=left,
        recent=live.recent,
        results=_results(state, job),
    )


def _unnoticed(job: JobReport, ending: UnloggedEnd, now: datetime) -> JobReport:
    """Report a running job as one whose attempt has ended."""
    ended_at = None
    if not ending.how and job.started_at is not None:
        ended_at = job.started_at + timedelta(seconds=ending.seconds)
    return structs.replace(
        job,
        unlogged_end=describe_unlogged_end(
            ending, None if ended_at is None else _elapsed(ended_at, now)
        ),
        ended_at=ended_at,
        duration=None if ended_at is None else ending.seconds,
        exit_code=ending.exit_code,
        signal=ending.signal,
        timed_out=ending.timed_out,
        pid=0,
        elapsed=None,
        timeout_remaining=None,
        progress=None,
        time_remaining=None,
    )


def describe_unlogged_end(ending: UnloggedEnd, ago: float | None) -> str:
    """Describe how an attempt ended whose end is not in the log.

    Args:
        ago: Seconds since the end; None if unknown.
    """
    how = ending.how
    if not how:
        how = "ended" if ago is None else f"ended {duration(ago)} ago"
        if ending.timed_out:
            how += " by timeout"
        elif ending.exit_code is not None:
            how += f" with exit {ending.exit_code}"
            how += f" ({ending.signal})" if ending.signal else ""
    return f"{how}; the runner has stopped, so the log does not show this yet"


def _results(state: QueueState, job: JobState) -> str:
    if job.uploaded:
        return "saved"
    if job.upload_failed:
        return "failed"
    if job.config.job_id not in state.uploading:
        return ""
    return "delayed" if job.delayed else "saving"


def _blocked_by(state: QueueState, job: JobState) -> tuple[str, ...]:
    if job.state == "blocked":
        return (job.blocked_by,)
    if job.state != "pending" or not job.open_dependencies:
        return ()
    return tuple(state.open_needs(job))


def _time_left(elapsed: float | None, live: LiveData, earlier: float | None) -> float | None:
    """Estimate from the job's progress, else from its duration in earlier queues."""
    if elapsed is None:
        return None
    progress = live.progress
    if progress is not None and progress.fraction > progress.base:
        return elapsed * (1 - progress.fraction) / (progress.fraction - progress.base)
    return None if earlier is None else max(0.0, earlier - elapsed)


def _remaining(jobs: tuple[JobReport, ...], earlier: Mapping[str, float]) -> dict[str, float]:
    remaining = {}
    for job in jobs:
        if job.status == "running":
            if job.time_remaining is not None:
                remaining[job.job_id] = job.time_remaining
        elif job.job_id in earlier:
            remaining[job.job_id] = earlier[job.job_id] + (job.retry_in or 0.0)
    return remaining


def _next_job(state: QueueState) -> tuple[str | None, tuple[str, ...]]:
    """Return the job that will start next, and the running jobs that it waits for."""
    if state.state not in ("running", "pending") or is_stopping(state):
        return None, ()
    ready = state.next_ready()
    if ready is not None:
        return ready.config.job_id, ()
    candidates = {
        job_id
        for running in (*state.running, *state.uploading)
        for job_id in state.dependents.get(running, ())
    }
    waiting = sorted(
        (
            job
            for job in map(state.jobs.__getitem__, candidates)
            if job.state == "pending"
            and all(
                state.jobs[need].state in ("completed", "running") for need in job.config.depends_on
            )
        ),
        key=lambda job: job.index,
    )
    if not waiting and state.retrying:
        retrying = map(state.jobs.__getitem__, state.retrying)
        return min(retrying, key=lambda job: job.retry_at).config.job_id, ()
    if not waiting:
        return None, ()
    return waiting[0].config.job_id, _blocked_by(state, waiting[0])


def _reason(state: QueueState) -> str:
    match state.reason:
        case "jobs":
            return f"{state.detail} failed"
        case "results":
            return f"results of {state.detail} not saved"
        case "cancelled":
            return "cancelled" + (f" {state.detail}" if state.detail else "")
        case "global_timeout":
            return "the queue's global_timeout expired"
        case "signal":
            return f"the runner was stopped by {state.detail}"
        case "spot":
            return "the spot instance was reclaimed"
        case "ttl":
            return f"--ttl {state.detail} expired"
        case other:
            return other


def _is_notable(replica: Replica, now: datetime) -> bool:
    """Whether to report a replica. A short lag is normal, because events are shipped in batches."""
    late = replica.since is not None and _elapsed(replica.since, now) > LATE_SECONDS
    return bool(replica.trouble) or (replica.behind > 0 and late)


def _warnings(
    state: QueueState, live: Mapping[str, LiveData], replica: Replica | None, lost: int
) -> Iterator[str]:
    if lost:
        yield lost_text(state.queue_id, lost)
    owner = state.owner
    if (owner is not None and not owner.fence) or (replica is not None and not replica.fence):
        yield (
            "the log has no fence in its object store, which ignores conditional writes: "
            "two machines could both run this queue"
        )
    if state.power_off_error:
        yield f"the machine was not powered off: {state.power_off_error}"
    for job in state.jobs.values():
        job_id = job.config.job_id
        if live.get(job_id, _NO_LIVE_DATA).raw_alone:
            yield f"{job_id}: there is no log {job.log_file}; the output is in {job.folder}"
        for pattern in job.unmatched:
            yield f"{job_id}: no file matches result '{pattern}'"
        for each in job.left_out:
            yield f"{job_id}: not kept: {each}"
        if job.delayed and not (job.uploaded or job.upload_failed):
            error = job.delayed.error
            yield f"{job_id}: results not saved yet, dependents no longer wait for them: {error}"
        if job.upload_failed:
            yield f"{job_id}: results not saved: {job.upload_failed.error}"
        if job.output_error:
            yield f"{job_id}: output not saved: {job.output_error}"
        if job.checkpoint_error and job.state != "completed":
            error = job.checkpoint_error
            yield f"{job_id}: checkpoint not saved, it is only on its machine: {error}"
        if job.restore_error and not state.ended:
            yield f"{job_id}: results not restored on this machine yet: {job.restore_error}"
        if job.outcome and job.outcome.output_dropped_bytes:
            dropped = job.outcome.output_dropped_bytes
            yield f"{job_id}: {dropped} bytes of output could not be written"
        if job.outcome and job.outcome.unended:
            yield f"{job_id}: {unended_text(job.outcome.unended)}"


def lost_text(queue_id: str, lost: int) -> str:
    """Describe that a log has lost its newest events, and how to restore them."""
    events = f"newest {lost} events" if lost > 1 else "newest event"
    return (
        f"the log has lost its {events} and may be out of date; "
        f"`spawn queue resume {queue_id}` restores it from its copy"
    )


def _elapsed(earlier: datetime, later: datetime) -> float:
    return max(0.0, (later - earlier).total_seconds())
