"""Decide which events follow from what has happened, including those of other jobs.

Each function returns drafts that must be committed in one transaction.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TypedDict

from msgspec import structs

from spawn.core.domain import retry
from spawn.core.domain.attempt_exit import AttemptExit
from spawn.core.domain.events import (
    Draft,
    InterruptCause,
    JobBlocked,
    JobCompleted,
    JobFailed,
    JobInterrupted,
    JobReset,
    JobRetryScheduled,
    JobUnblocked,
    ResetReason,
    Results,
)
from spawn.core.domain.plan import is_stopping
from spawn.core.domain.state import JobState, QueueState
from spawn.core.values import dag
from spawn.core.values.timestamps import format_timestamp, parse_timestamp

_TO_RUN = ("pending", "retrying", "running")

MAX_LOSSES = 3
"""Consecutive lost attempts after which a job fails, so that a job cannot kill its host forever."""


class _OutcomeFields(TypedDict):
    """The fields common to all outcome events."""

    exit_code: int | None
    signal: str | None
    timed_out: bool
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    output_dropped_bytes: int
    unended: tuple[int, ...]
    ended_at: str


def end_attempt(
    state: QueueState,
    job: JobState,
    exit_: AttemptExit,
    *,
    now: datetime,
    fraction: float,
    last_lines: tuple[str, ...] = (),
    results: Results | None = None,
) -> list[Draft]:
    """Decide the outcome of an attempt that has ended.

    Args:
        now: The current time, from which a retry's delay counts.
        fraction: A random number in [0, 1) for jitter.
        last_lines: The last lines of the attempt's output, oldest first.
        results: A summary of the manifest, if the job has results.
    """
    if not exit_.started:
        return [_draft(job, JobInterrupted(cause="never_began"))]
    facts: _OutcomeFields = {
        "exit_code": None if job.pid in exit_.unended else exit_.exit_code,
        "signal": exit_.signal,
        "timed_out": False,
        "wall_seconds": exit_.wall_seconds,
        "cpu_seconds": exit_.cpu_seconds,
        "peak_memory_bytes": exit_.peak_memory_bytes,
        "output_dropped_bytes": exit_.output_dropped_bytes,
        "unended": exit_.unended,
        "ended_at": _ended_at(job, exit_) if exit_.observed else "",
    }
    match exit_.stop:
        case "host" if job.losses + 1 >= MAX_LOSSES:
            return _fail_after_losses(state, job, JobFailed(last_lines=last_lines, **facts))
        case "stop" | "spot" | "fenced" | "host":
            return [_draft(job, JobInterrupted(cause=exit_.stop, **facts))]
        case "cancel":
            failed = JobFailed(why="cancelled", last_lines=last_lines, **facts)
            return [_draft(job, failed), *_block_dependents(state, job)]
        case None if exit_.exit_code == 0:
            return [_draft(job, JobCompleted(results=results, **facts))]
    timed_out = exit_.stop == "timeout"
    code = retry.TIMED_OUT if timed_out else exit_.exit_code
    facts["exit_code"], facts["timed_out"] = code, timed_out
    policy = job.config.retry
    failures = job.failures + 1
    final = retry.why_not_retried(policy, failures=failures, exit_code=code, timed_out=timed_out)
    if final is not None:
        failed = JobFailed(why=final, last_lines=last_lines, **facts)
        return [_draft(job, failed), *_block_dependents(state, job)]
    delay = round(retry.delay(policy, failures, fraction), 3)
    scheduled = JobRetryScheduled(
        why=f"attempt {failures} of {policy.max_attempts} failed",
        delay=delay,
        retry_at=format_timestamp(now + timedelta(seconds=delay)),
        last_lines=last_lines,
        **facts,
    )
    return [_draft(job, scheduled)]


def _ended_at(job: JobState, exit_: AttemptExit) -> str:
    """Add the measured duration to the start, because the wall clock may have been set since."""
    return format_timestamp(parse_timestamp(job.started_at) + timedelta(seconds=exit_.wall_seconds))


def fail_unprepared(state: QueueState, job: JobState, why: str) -> list[Draft]:
    """Decide the outcome of an attempt whose command could not be prepared."""
    return [_draft(job, JobFailed(why=why)), *_block_dependents(state, job)]


def lose_attempt(
    state: QueueState,
    job: JobState,
    detail: str,
    *,
    last_lines: tuple[str, ...] = (),
    unended: tuple[int, ...] = (),
) -> list[Draft]:
    """Decide the outcome of an attempt without a record: its host or its supervisor died.

    Args:
        detail: How the attempt was lost.
        last_lines: The last lines of the attempt's output, oldest first.
        unended: PIDs of the attempt that belong to another user and could not be ended.
    """
    if job.losses + 1 >= MAX_LOSSES:
        failed = JobFailed(last_lines=last_lines, unended=unended)
        return _fail_after_losses(state, job, failed, detail)
    return [_draft(job, JobInterrupted(cause="lost", detail=detail, unended=unended))]


def _fail_after_losses(
    state: QueueState, job: JobState, failed: JobFailed, detail: str = ""
) -> list[Draft]:
    """Fail a job that has lost `MAX_LOSSES` attempts in a row."""
    why = f"lost with its supervisor or host {MAX_LOSSES} times in a row"
    failed = structs.replace(failed, why=f"{why}; the last time {detail}" if detail else why)
    return [_draft(job, failed), *_block_dependents(state, job)]


def interrupt_attempt(
    job: JobState, cause: InterruptCause, detail: str = "", *, unended: tuple[int, ...] = ()
) -> Draft:
    """Interrupt the open attempt of `job`, which does not count as the job's failure."""
    return _draft(job, JobInterrupted(cause=cause, detail=detail, unended=unended))


def reset_job(state: QueueState, job: JobState, *, reason: ResetReason, by: str) -> list[Draft]:
    """Reset a failed or completed job, and unblock the jobs that it blocked."""
    job_id = job.config.job_id
    drafts = [Draft(JobReset(reason=reason, by=by), job_id=job_id)]
    blocker = _blocker(state, job)
    if blocker:
        drafts.append(Draft(JobBlocked(by=blocker), job_id=job_id))
    freed = [other for other in _downstream(state, job, "blocked") if other.blocked_by == job_id]
    if not freed:
        return drafts
    blockers: dict[str, str] = {}
    for failed in state.failed:
        if failed != job_id:
            for other in _downstream(state, state.jobs[failed], "blocked"):
                blockers.setdefault(other.config.job_id, failed)
    for other in freed:
        other_id = other.config.job_id
        drafts.append(Draft(JobUnblocked(by=job_id), job_id=other_id))
        if other_id in blockers or blocker:
            by_ = blockers.get(other_id, blocker)
            drafts.append(Draft(JobBlocked(by=by_), job_id=other_id))
    return drafts


def jobs_to_rerun(state: QueueState, elsewhere: Collection[str]) -> list[JobState]:
    """Return the completed jobs that must run again: their results were lost with their machine
    before the upload, and a job that has yet to run may read them.

    Args:
        elsewhere: Completed jobs whose result files are not on this machine.

    Returns:
        Dependents before their dependencies, because the search for a job's dependents stops at a
        job that was reset.
    """
    lost = {job_id for job_id in elsewhere if state.jobs[job_id].uploaded is None}
    return [state.jobs[job_id] for job_id in reversed(_needed_completed(state, lost))]


def results_to_restore(state: QueueState, elsewhere: Collection[str]) -> list[tuple[JobState, str]]:
    """Return the jobs of `elsewhere` whose results must be restored now: a job that has yet to run
    may read them, and none of their dependencies runs again and could overwrite them.

    Args:
        elsewhere: Completed jobs whose result files are not on this machine.

    Returns:
        Each job with the stamp that orders its files, earliest first, dependencies before their
        dependents: if two jobs wrote the same path, the later file is the right one.
    """
    moments: dict[str, str] = {}
    for job_id in _needed_completed(state, state.jobs):
        job = state.jobs[job_id]
        before = (moments.get(need, "") for need in job.config.depends_on)
        moments[job_id] = max(job.ended_at, *before, "")
    found = [
        (state.jobs[job_id], at)
        for job_id, at in moments.items()
        if job_id in elsewhere and not state.jobs[job_id].open_dependencies
    ]
    return sorted(found, key=lambda each: each[1])


def _needed_completed(state: QueueState, among: Collection[str]) -> list[str]:
    """Return the completed jobs of `among` that a job which has yet to run depends on, directly or
    indirectly; dependencies first. Takes one pass over the graph."""
    if not among or is_stopping(state):
        return []
    needs = {job_id: job.config.depends_on for job_id, job in state.jobs.items()}
    to_run = [job_id for job_id, job in state.jobs.items() if job.state in _TO_RUN]
    needed = {
        job_id
        for job_id in dag.reach(to_run, needs)
        if job_id in among and state.jobs[job_id].state == "completed"
    }
    return [job_id for job_id in dag.sort(needs) if job_id in needed] if needed else []


def with_completed_dependents(state: QueueState, job_ids: Iterable[str]) -> set[str]:
    """Return these completed jobs and all completed jobs that depend on them, directly or
    indirectly."""
    found = set(job_ids)
    line = list(found)
    for job_id in line:
        for other in state.dependents.get(job_id, ()):
            if other not in found and state.jobs[other].state == "completed":
                found.add(other)
                line.append(other)
    return found


def has_pending_dependents(state: QueueState, job_ids: Iterable[str]) -> bool:
    """Return whether a job that has yet to run depends on one of these completed jobs, directly or
    indirectly."""
    return not is_stopping(state) and any(
        state.jobs[other].state in _TO_RUN
        for job_id in with_completed_dependents(state, job_ids)
        for other in state.dependents.get(job_id, ())
    )


def highest_upstream(state: QueueState, numbers: Mapping[str, int]) -> dict[str, int]:
    """Return for each job the highest of these positive numbers among the job itself and all its
    direct and indirect dependencies. Jobs without a number are omitted."""
    needs = {job_id: job.config.depends_on for job_id, job in state.jobs.items()}
    found: dict[str, int] = {}
    for job_id in dag.sort(needs) if numbers else ():
        own = numbers.get(job_id, 0)
        highest = max([own, *(found.get(need, 0) for need in needs[job_id])])
        if highest:
            found[job_id] = highest
    return found


def reset_failed(state: QueueState, *, by: str, request: str = "") -> list[Draft]:
    """Reset all failed jobs and unblock all blocked ones."""
    return [
        *(
            Draft(JobReset(reason="retry", by=by, request=request), job_id=job_id)
            for job_id in state.failed
        ),
        *(
            Draft(JobUnblocked(by=job.blocked_by), job_id=job_id)
            for job_id, job in state.jobs.items()
            if job.state == "blocked"
        ),
    ]


def update_blocked(state: QueueState) -> list[Draft]:
    """Block and unblock jobs to match a changed graph."""
    drafts = []
    blockers: dict[str, str] = {}
    for job_id in dag.sort({job_id: job.config.depends_on for job_id, job in state.jobs.items()}):
        job = state.jobs[job_id]
        needs = job.config.depends_on
        by = next((need for need in needs if need in state.failed), "") or next(
            (blockers[need] for need in needs if need in blockers), ""
        )
        if job.state == "blocked" and job.blocked_by != by:
            drafts.append(Draft(JobUnblocked(by=job.blocked_by), job_id=job_id))
        elif job.state not in ("pending", "blocked", "completed"):
            continue
        if by:
            blockers[job_id] = by
            if job.state == "pending" or (job.state == "blocked" and job.blocked_by != by):
                drafts.append(Draft(JobBlocked(by=by), job_id=job_id))
    return drafts


def _blocker(state: QueueState, job: JobState) -> str:
    """Return the failed job that `job` waits for, directly or indirectly; empty for none."""
    for need in state.open_needs(job) if job.open_dependencies else ():
        other = state.jobs[need]
        if other.state == "failed":
            return need
        if other.state == "blocked":
            return other.blocked_by
    return ""


def _draft(
    job: JobState, data: JobCompleted | JobRetryScheduled | JobFailed | JobInterrupted
) -> Draft:
    return Draft(data, job_id=job.config.job_id, attempt=job.attempt)


def _block_dependents(state: QueueState, job: JobState) -> list[Draft]:
    """Block all pending jobs that depend on the failed `job`, directly or indirectly."""
    by = job.config.job_id
    return [
        Draft(JobBlocked(by=by), job_id=other.config.job_id)
        for other in _downstream(state, job, "pending")
    ]


def _downstream(state: QueueState, job: JobState, only: str) -> Iterator[JobState]:
    """Yield direct and indirect dependents of `job` in state `only`, without duplicates. The search
    also passes completed jobs, whose dependents wait too while `job` runs again."""
    seen = {job.config.job_id}
    stack = [job.config.job_id]
    while stack:
        for job_id in state.dependents.get(stack.pop(), ()):
            other = state.jobs[job_id]
            if job_id not in seen and other.state in (only, "completed"):
                seen.add(job_id)
                stack.append(job_id)
                if other.state == only:
                    yield other
