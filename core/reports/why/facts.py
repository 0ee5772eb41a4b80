"""Make facts of events and states."""

from collections.abc import Iterator

from msgspec import structs

from spawn.core.domain.events import (
    Data,
    Event,
    JobFailed,
    JobInterrupted,
    JobReset,
    JobRetryScheduled,
    JobStarted,
    Outcome,
    QueueFailed,
    QueueInterrupted,
    QueueReconfigured,
    QueueStarted,
    RequestRefused,
)
from spawn.core.domain.resumption import changes_for_job
from spawn.core.domain.state import JobState
from spawn.core.reports.model import JobReport
from spawn.core.reports.why.history import History, JobHistory, PastAttempt
from spawn.core.reports.why.model import Fact
from spawn.core.values.timestamps import parse_timestamp

_RESULTS = {
    "JobCompleted": "completed",
    "JobRetryScheduled": "retrying",
    "JobFailed": "failed",
    "JobInterrupted": "interrupted",
}


def attempt(job: JobState, each: PastAttempt, *, before: bool = False, lines: bool = False) -> Fact:
    """Return the fact of an attempt and its outcome, if any.

    Args:
        before: Whether the attempt is part of the history.
        lines: Whether to include the last lines of its output.
    """
    began = each.began
    assert isinstance(began.data, JobStarted)
    facts = Fact(
        kind="attempt",
        job_id=job.config.job_id,
        at=parse_timestamp(began.at),
        before=before,
        attempt=began.attempt or 0,
        spent=each.spent,
        most=job.max_attempts,
        epoch=began.epoch,
        pid=began.data.pid,
        result="running",
        limit=job.config.timeout,
    )
    if each.ended is None:
        return facts
    data = each.ended.data
    assert isinstance(data, Outcome)
    why, detail = "", ""
    after: float | None = None
    shown: tuple[str, ...] = ()
    if isinstance(data, JobInterrupted):
        why, detail = data.cause, data.detail
    elif isinstance(data, JobFailed):
        why, shown = data.why, data.last_lines
    elif isinstance(data, JobRetryScheduled):
        why, after, shown = data.why, data.delay, data.last_lines
    return Fact(
        kind="attempt",
        job_id=facts.job_id,
        at=facts.at,
        until=parse_timestamp(data.ended_at or each.ended.at),
        before=before,
        attempt=facts.attempt,
        spent=each.spent,
        most=facts.most,
        epoch=facts.epoch,
        pid=facts.pid,
        result=_RESULTS[each.ended.type],
        exit_code=data.exit_code,
        signal=data.signal or "",
        timed_out=data.timed_out,
        seconds=data.wall_seconds,
        limit=facts.limit,
        delay=after,
        reason=why,
        detail=detail,
        last_lines=shown if lines else (),
    )


def unnoticed(fact: Fact, job: JobReport | None) -> Fact:
    """Add to the fact of a running attempt how it ended, if its machine knows that."""
    if job is None or not job.unlogged_end or fact.result != "running":
        return fact
    return structs.replace(
        fact,
        result="unnoticed",
        until=job.ended_at,
        seconds=job.duration,
        exit_code=job.exit_code,
        signal=job.signal or "",
        timed_out=job.timed_out,
        reason=job.unlogged_end,
    )


def history(
    job: JobState, past: JobHistory, of: History, *, skip: PastAttempt | None
) -> list[Fact]:
    """Return the history of a job, oldest first.

    Args:
        skip: An attempt to leave out, because another fact describes it.
    """
    found: list[tuple[int, Fact]] = []
    if past.left_out:
        found.append((0, Fact(kind="left_out", more=past.left_out, before=True)))
    found += [
        (each.began.seq, attempt(job, each, before=True)) for each in past.tries if each is not skip
    ]
    found += [(event.seq, reset(event)) for event in past.resets]
    began = past.tries[0].began.seq if past.tries else None
    ended = None
    if skip is not None and skip.ended is not None and job.state in ("completed", "failed"):
        ended = skip.ended.seq
    for event in of.queue:
        owned = isinstance(event.data, QueueStarted | QueueInterrupted)
        if ended is not None and event.seq > ended and (owned or job.state == "completed"):
            continue  # events of the queue after the job's end did not cause it
        if isinstance(event.data, QueueReconfigured) or (began is not None and event.seq > began):
            found += [(event.seq, fact) for fact in _queue_fact(job, event)]
    return [fact for _, fact in sorted(found, key=lambda pair: pair[0])]


def reset(event: Event[Data]) -> Fact:
    """Return the fact of a job's reset."""
    assert isinstance(event.data, JobReset)
    return Fact(
        kind="reset",
        job_id=event.job_id or "",
        at=parse_timestamp(event.at),
        reason=event.data.reason,
        by=event.data.by,
        before=True,
    )


def owner(event: Event[Data]) -> Fact:
    """Return the fact that a runner took over the queue."""
    data = event.data
    assert isinstance(data, QueueStarted)
    where = data.hostname if data.instance_id == "local" else data.instance_id
    return Fact(
        kind="owner",
        at=parse_timestamp(event.at),
        by=data.owner,
        host=where,
        pid=data.pid,
        epoch=event.epoch,
        before=True,
    )


def _queue_fact(job: JobState, event: Event[Data]) -> Iterator[Fact]:
    data, at = event.data, parse_timestamp(event.at)
    if isinstance(data, QueueStarted):
        yield owner(event)
    elif isinstance(data, QueueInterrupted):
        yield Fact(kind="interrupted", at=at, reason=data.cause, detail=data.detail, before=True)
    elif isinstance(data, QueueFailed) and data.reason not in ("jobs", "results"):
        yield Fact(kind="ended", at=at, reason=data.reason, detail=data.detail, before=True)
    elif isinstance(data, RequestRefused):
        yield Fact(kind="refused", at=at, by=data.request, reason=data.why, before=True)
    elif isinstance(data, QueueReconfigured):
        mine = changes_for_job(data.changes, job.config.job_id)
        if mine:
            yield Fact(kind="reconfigured", at=at, others=mine, before=True)
