"""Check whether a state allows an event: the transition tables, and rules they cannot express."""

from collections.abc import Iterable
from typing import NoReturn

from spawn.core.config.model import JobConfig
from spawn.core.domain.events import (
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
from spawn.core.domain.state import QueueState
from spawn.core.domain.transition_tables import JOB_MOVES, QUEUE_MOVES
from spawn.core.errors import CorruptLog, IllegalTransition
from spawn.core.values.ids import is_safe


def check_first(event: Event[Data]) -> None:
    """Check a log's first event.

    Raises:
        CorruptLog: The event is not a valid `QueueSubmitted`.
    """
    if not isinstance(event.data, QueueSubmitted):
        raise IllegalTransition(
            event.type, "before its submission", ["QueueSubmitted"], of="the queue", seq=event.seq
        )
    if event.data.jobs_total < len(event.data.config.jobs):
        _reject(event, "it has more jobs than its jobs_total")
    _check_job_ids(event, event.data.config.jobs)


def check(state: QueueState, event: Event[Data]) -> None:
    """Check an event against the state that the preceding events lead to.

    Raises:
        IllegalTransition: The state machines do not allow the event.
        CorruptLog: The event contradicts the preceding ones.
    """
    type_ = event.type
    if event.note and type_ in NOTES:
        return
    if event.note:
        _reject(event, "it is marked as a note, but its type is not one")
    if type_ not in QUEUE_MOVES[state.state]:
        legal = sorted(QUEUE_MOVES[state.state])
        raise IllegalTransition(type_, state.state, legal, of="the queue", seq=event.seq)
    if event.job_id is None:
        _check_queue(state, event)
        return
    job = state.jobs.get(event.job_id)
    if job is None:
        _reject(event, f"there is no job {event.job_id}")
    if type_ not in JOB_MOVES[job.state]:
        legal = sorted(JOB_MOVES[job.state])
        raise IllegalTransition(type_, job.state, legal, of=f"job {event.job_id}", seq=event.seq)
    if event.epoch != state.epoch:
        _reject(event, f"its epoch is {event.epoch}, the current epoch is {state.epoch}")
    if not state.all_jobs_read:
        _reject(event, _INCOMPLETE)
    if type_ == "JobStarted":
        if event.attempt != job.attempt + 1:
            _reject(event, f"attempt {event.attempt} follows attempt {job.attempt}")
        if job.uncompleted_dependencies:
            _reject(event, "one of the job's dependencies is not completed")
    elif type_ in OF_AN_ATTEMPT:
        if event.attempt != job.attempt:
            _reject(event, f"the newest attempt is {job.attempt}, not {event.attempt}")
        if type_ == "JobCompleted" and event.data.exit_code:  # type: ignore[attr-defined]
            _reject(event, "its exit code is not 0")
        if type_ == "ResultsDelayed" and not job.upload_pending:
            _reject(event, "no job waits for its results")
    elif isinstance(event.data, JobBlocked):
        if event.data.by not in state.failed:
            _reject(event, f"job {event.data.by} has not failed")
    elif isinstance(event.data, JobUnblocked) and event.data.by != job.blocked_by:
        _reject(event, f"the job is blocked by {job.blocked_by}, not {event.data.by}")


def _check_queue(state: QueueState, event: Event[Data]) -> None:
    data = event.data
    if event.type in JOB_EVENTS:
        _reject(event, "it has no job id")
    if isinstance(data, JobsSubmitted):
        if state.all_jobs_read or len(state.jobs) + len(data.jobs) > state.jobs_total:
            _reject(event, "all jobs were already submitted")
        _check_job_ids(event, data.jobs)
    elif not state.all_jobs_read:
        _reject(event, _INCOMPLETE)
    if isinstance(data, QueueStarted):
        if event.epoch <= state.epoch:  # epochs may be skipped: a claimed one may never begin
            _reject(event, f"epoch {event.epoch} follows epoch {state.epoch}")
    elif event.epoch != state.epoch:
        _reject(event, f"its epoch is {event.epoch}, the current epoch is {state.epoch}")
    if isinstance(data, QueueReconfigured):
        if data.jobs_total < len(data.config.jobs):
            _reject(event, "it has more jobs than its jobs_total")
        _check_job_ids(event, data.config.jobs)
    if isinstance(data, QueueCompleted):
        if state.counts["completed"] != len(state.jobs):
            _reject(event, "some jobs are not completed")
        if state.uploading or state.upload_failed:
            _reject(event, "some results are not uploaded")
    elif state.running and state.state == "running" and event.type in _NEEDS_IDLE:
        _reject(event, f"job {next(iter(state.running))} is still running")


def _check_job_ids(event: Event[Data], jobs: Iterable[JobConfig]) -> None:
    """Reject unsafe job ids, because they become paths. No valid configuration has any; a foreign
    or forged log may."""
    for job in jobs:
        if not is_safe(job.job_id):
            _reject(event, f"{job.job_id!r} is not a valid job id")


OF_AN_ATTEMPT = frozenset(
    name
    for name, cls in TYPES.items()
    if issubclass(cls, Outcome | ResultsUploaded | ResultsDelayed | ResultsUploadFailed)
)
_INCOMPLETE = "the configuration's jobs before it are incomplete"
JOB_EVENTS = frozenset(event for moves in JOB_MOVES.values() for event in moves)
_NEEDS_IDLE = frozenset({"QueueFailed", "QueueReconfigured"})


def _reject(event: Event[Data], why: str) -> NoReturn:
    raise CorruptLog(f"event {event.seq}: {event.type} is invalid", seq=event.seq, why=why)
