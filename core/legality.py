"""Judge whether an event fits the state that it meets: the tables, and what they cannot say."""

from collections.abc import Iterable
from typing import NoReturn

from spawn.core.config.model import JobConfig
from spawn.core.errors import CorruptLog, IllegalTransition
from spawn.core.events import (
    NOTES,
    TYPES,
    Data,
    Event,
    JobBlocked,
    JobsSubmitted,
    JobUnblocked,
    Outcome,
    QueueCompleted,
    QueueReconfigured,
    QueueStarted,
    QueueSubmitted,
    ResultsDelayed,
    ResultsUploaded,
    ResultsUploadFailed,
)
from spawn.core.ids import is_safe
from spawn.core.moves import JOB_MOVES, QUEUE_MOVES
from spawn.core.state import QueueState


def check_first(event: Event[Data]) -> None:
    """Judge a log's first event.

    Raises:
        CorruptLog: It is not a `QueueSubmitted` at seq 1.
    """
    if not isinstance(event.data, QueueSubmitted):
        raise IllegalTransition(
            event.type, "before its submission", ["QueueSubmitted"], of="the queue", seq=event.seq
        )
    if event.data.jobs_total < len(event.data.config.jobs):
        _contradicts(event, "it holds more jobs than it announces")
    _expect_safe(event, event.data.config.jobs)


def check(state: QueueState, event: Event[Data]) -> None:
    """Judge an event against the state that all before it amount to.

    Raises:
        IllegalTransition: The machines do not allow it here.
        CorruptLog: It contradicts the events before it.
    """
    type_ = event.type
    if event.note and type_ in NOTES:
        return
    if event.note:
        _contradicts(event, "it is no note, though it says so")
    if type_ not in QUEUE_MOVES[state.state]:
        legal = sorted(QUEUE_MOVES[state.state])
        raise IllegalTransition(type_, state.state, legal, of="the queue", seq=event.seq)
    if event.job_id is None:
        _check_queue(state, event)
        return
    job = state.jobs.get(event.job_id)
    if job is None:
        _contradicts(event, f"there is no job {event.job_id}")
    if type_ not in JOB_MOVES[job.state]:
        legal = sorted(JOB_MOVES[job.state])
        raise IllegalTransition(type_, job.state, legal, of=f"job {event.job_id}", seq=event.seq)
    if event.epoch != state.epoch:
        _contradicts(event, f"it is of epoch {event.epoch}, the log of {state.epoch}")
    if not state.whole:
        _contradicts(event, _INCOMPLETE)
    if type_ == "JobStarted":
        if event.attempt != job.attempt + 1:
            _contradicts(event, f"attempt {event.attempt} follows attempt {job.attempt}")
        if job.unmet:
            _contradicts(event, "a job that it depends on is not completed")
    elif type_ in OF_AN_ATTEMPT:
        if event.attempt != job.attempt:
            _contradicts(event, f"attempt {job.attempt} is the newest, not {event.attempt}")
        if type_ == "JobCompleted" and event.data.exit_code:  # type: ignore[attr-defined]
            _contradicts(event, "its exit code is not 0")
        if type_ == "ResultsDelayed" and not job.holding:
            _contradicts(event, "nothing waits for its results")
    elif isinstance(event.data, JobBlocked):
        if event.data.by not in state.failed:
            _contradicts(event, f"job {event.data.by} has not failed")
    elif isinstance(event.data, JobUnblocked) and event.data.by != job.blocked_by:
        _contradicts(event, f"job {job.blocked_by} blocks it, not {event.data.by}")


def _check_queue(state: QueueState, event: Event[Data]) -> None:
    data = event.data
    if event.type in JOB_EVENTS:
        _contradicts(event, "it names no job")
    if isinstance(data, JobsSubmitted):
        if state.whole or len(state.jobs) + len(data.jobs) > state.jobs_total:
            _contradicts(event, "all jobs were submitted before it")
        _expect_safe(event, data.jobs)
    elif not state.whole:
        _contradicts(event, _INCOMPLETE)
    if isinstance(data, QueueStarted):
        if event.epoch <= state.epoch:  # an epoch that was claimed may never have begun
            _contradicts(event, f"epoch {event.epoch} follows epoch {state.epoch}")
    elif event.epoch != state.epoch:
        _contradicts(event, f"it is of epoch {event.epoch}, the log of {state.epoch}")
    if isinstance(data, QueueReconfigured):
        if data.jobs_total < len(data.config.jobs):
            _contradicts(event, "it holds more jobs than it announces")
        _expect_safe(event, data.config.jobs)
    if isinstance(data, QueueCompleted):
        if state.counts["completed"] != len(state.jobs):
            _contradicts(event, "not every job is completed")
        if state.uploading or state.unsaved:
            _contradicts(event, "results are not uploaded")
    elif state.running and state.state == "running" and event.type in _NEEDS_REST:
        _contradicts(event, f"job {next(iter(state.running))} still runs")


def _expect_safe(event: Event[Data], jobs: Iterable[JobConfig]) -> None:
    """See that job ids are names. No configuration has others: somebody else wrote this log, and
    what is made of them here are paths."""
    for job in jobs:
        if not is_safe(job.job_id):
            _contradicts(event, f"{job.job_id!r} is no job id")


OF_AN_ATTEMPT = frozenset(
    name
    for name, cls in TYPES.items()
    if issubclass(cls, Outcome | ResultsUploaded | ResultsDelayed | ResultsUploadFailed)
)
_INCOMPLETE = "jobs of the configuration are missing before it"
JOB_EVENTS = frozenset(event for moves in JOB_MOVES.values() for event in moves)
_NEEDS_REST = frozenset({"QueueFailed", "QueueReconfigured"})


def _contradicts(event: Event[Data], why: str) -> NoReturn:
    raise CorruptLog(f"event {event.seq}: {event.type} cannot be", seq=event.seq, why=why)
