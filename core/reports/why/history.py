"""Collect the history of some jobs from the log: their attempts, resets, and the queue's owners.
Memory use is bounded: only the newest entries are kept."""

from collections.abc import Collection, Iterable

from msgspec import Struct

from spawn.core.domain.codec import decode
from spawn.core.domain.events import (
    Data,
    Event,
    JobFailed,
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
from spawn.core.domain.replay import Row

MOST = 20
"""Number of newest attempts, and of newest resets, kept for each job."""
_OF_THE_QUEUE = (
    b"QueueStarted",
    b"QueueResumed",
    b"QueueInterrupted",
    b"QueueFailed",
    b"QueueReconfigured",
    b"RequestRefused",
)


class PastAttempt(Struct):
    """One attempt: its start, and its outcome unless it is open."""

    began: Event[Data]
    spent: int
    ended: Event[Data] | None = None


class JobHistory(Struct):
    """The history of one job, oldest first."""

    tries: list[PastAttempt] = []
    resets: list[Event[Data]] = []
    left_out: int = 0
    """Number of older attempts that are not kept."""
    failures: int = 0
    """Failures since the newest reset."""


class History(Struct):
    """The history of some jobs and of the queue."""

    jobs: dict[str, JobHistory]
    queue: list[Event[Data]] = []
    """The newest changes of ownership, rejected requests and configuration changes."""


def collect(rows: Iterable[Row], job_ids: Collection[str], *, last: int) -> History:
    """Read a log up to seq `last`, and collect the events of these jobs and of the queue."""
    history = History({job_id: JobHistory() for job_id in job_ids})
    names = [f'"{job_id}"'.encode() for job_id in job_ids]
    for seq, type_, line, _ in rows:
        if seq > last:
            break
        other = type_ is not None and type_ not in _OF_THE_QUEUE
        if other and not any(name in line for name in names):
            continue  # most lines need no decoding
        event = decode(line, type_)
        if event is None:
            continue
        if event.job_id in history.jobs:
            _add_event(history.jobs[event.job_id], event)
        elif event.job_id is None and isinstance(event.data, _QUEUE):
            history.queue.append(event)
            del history.queue[: -10 * MOST]
    return history


_QUEUE = (QueueStarted, QueueInterrupted, QueueFailed, QueueReconfigured, RequestRefused)


def _add_event(past: JobHistory, event: Event[Data]) -> None:
    data = event.data
    if isinstance(data, JobStarted):
        past.tries.append(PastAttempt(event, past.failures + 1))
        if len(past.tries) > MOST:
            del past.tries[0]
            past.left_out += 1
    elif isinstance(data, Outcome):
        past.tries[-1].ended = event
        past.failures += isinstance(data, JobRetryScheduled | JobFailed)
    elif isinstance(data, JobReset):
        past.failures = 0
        past.resets.append(event)
        del past.resets[:-MOST]
