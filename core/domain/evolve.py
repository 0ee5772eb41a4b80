"""Fold one event into a queue's state. Never rejects one: `core.legality` checks it first."""

from typing import assert_never

from msgspec import structs

from spawn.core.config.model import JobConfig, QueueConfig
from spawn.core.domain.events import (
    AnyData,
    CheckpointNotSaved,
    CheckpointPutBack,
    CheckpointSaved,
    Data,
    EpochEnd,
    Event,
    JobBlocked,
    JobCompleted,
    JobFailed,
    JobInterrupted,
    JobReset,
    JobRetryScheduled,
    JobsSubmitted,
    JobStarted,
    JobUnblocked,
    MachineKept,
    Outcome,
    OutputNotSaved,
    OutputSaved,
    QueueCompleted,
    QueueFailed,
    QueueInterrupted,
    QueueReconfigured,
    QueueResumed,
    QueueStarted,
    QueueSubmitted,
    RequestRefused,
    ResultsDelayed,
    ResultsNotPutBack,
    ResultsPutBack,
    ResultsUploaded,
    ResultsUploadFailed,
)
from spawn.core.domain.state import JobState, QueueState
from spawn.core.domain.transition_tables import JOB_MOVES
from spawn.core.values.timestamps import seconds_between


def initial_state(event: Event[Data]) -> QueueState:
    """Create the state from a log's first event, `QueueSubmitted`."""
    data = event.data
    assert isinstance(data, QueueSubmitted)
    state = QueueState(
        queue_id=event.queue_id,
        config=data.config,
        jobs={},
        jobs_total=data.jobs_total,
        config_sha256=data.config_sha256,
        version=data.version,
        submitted_at=event.at,
        last_at=event.at,
        order=[],
        counts=dict.fromkeys(JOB_MOVES, 0),
    )
    _apply_config(state, data.config)
    return state


def evolve(state: QueueState, event: Event[Data]) -> None:
    """Apply an event, which must be legal, to `state`."""
    before, state.last_at = state.last_at, event.at
    if event.note:
        _apply_note(state, event)
        return
    job_id = event.job_id
    if job_id is None:
        _evolve_queue(state, event, before)
        return
    job = state.jobs[job_id]
    data: AnyData = event.data  # type: ignore[assignment]
    match data:
        case JobStarted():
            if job.state == "retrying":
                del state.retrying[job_id]
            state.running[job_id] = None
            state.move(job, "running")
            job.attempt = event.attempt or 0
            job.epoch = event.epoch
            job.started = data
            job.started_at = event.at
            job.outcome = None
            job.uploaded = job.upload_failed = job.delayed = None
            job.output_error = job.restore_error = job.checkpoint_error = ""
            job.upstream_resets = 0
        case JobCompleted():
            _end_attempt(state, job, event, data)
            job.checkpoint = None
            state.move(job, "completed")
            job.upload_pending = bool(job.config.result_files)
            if job.upload_pending:
                state.uploading[job_id] = None
            for other in _dependents(state, job):
                other.uncompleted_dependencies -= 1
            if not job.is_open:
                state.release(job)
        case JobRetryScheduled():
            _end_attempt(state, job, event, data)
            job.failures += 1
            state.retrying[job_id] = None
            state.move(job, "retrying")
        case JobFailed():
            _end_attempt(state, job, event, data)
            job.failures += 1
            state.failed[job_id] = None
            state.move(job, "failed")
        case JobInterrupted():
            losses = job.losses + 1 if data.cause in ("lost", "host") else 0
            _end_attempt(state, job, event, data)
            job.losses = losses
            state.move(job, "pending")
        case JobBlocked():
            job.blocked_by = data.by
            state.move(job, "blocked")
        case JobUnblocked():
            job.blocked_by = ""
            state.move(job, "pending")
        case JobReset():
            _reset(state, job)
            if data.request:
                state.handled_requests[data.request] = None
        case ResultsUploaded():
            _release_dependents(state, job)
            job.uploaded, job.upload_failed = data, None
            state.uploading.pop(job_id, None)
            state.upload_failed.pop(job_id, None)
        case ResultsDelayed():
            _release_dependents(state, job)
            job.delayed = data
        case ResultsUploadFailed():
            _release_dependents(state, job)
            job.upload_failed = data
            state.uploading.pop(job_id, None)
            state.upload_failed[job_id] = None
        case (
            QueueSubmitted()
            | JobsSubmitted()
            | QueueStarted()
            | QueueReconfigured()
            | QueueInterrupted()
            | QueueCompleted()
            | QueueFailed()
            | RequestRefused()
            | OutputNotSaved()
            | OutputSaved()
            | ResultsNotPutBack()
            | ResultsPutBack()
            | CheckpointSaved()
            | CheckpointNotSaved()
            | CheckpointPutBack()
            | MachineKept()
        ):
            raise AssertionError(f"{event.type} is not an event of a job")
        case _ as never:
            assert_never(never)


def _apply_note(state: QueueState, event: Event[Data]) -> None:
    """Record a note. Notes are for display; only a checkpoint also affects a job's next start."""
    if isinstance(event.data, MachineKept):
        state.power_off_error = event.data.why
        return
    job = state.jobs.get(event.job_id or "")
    if job is None or event.attempt != job.attempt:
        return
    match event.data:
        case OutputNotSaved(error=error):
            job.output_error = error
        case OutputSaved():
            job.output_error = ""
        case ResultsNotPutBack(error=error):
            job.restore_error = error
        case ResultsPutBack():
            job.restore_error = ""
        case CheckpointSaved() as saved if job.state != "completed":
            job.checkpoint, job.checkpoint_error = saved, ""
        case CheckpointNotSaved(error=error):
            job.checkpoint_error = error
        case CheckpointPutBack(error=error):
            job.restore_error = ""
            if error:
                job.checkpoint = None


def _evolve_queue(state: QueueState, event: Event[Data], before: str) -> None:
    """Fold an event of the queue; `before` is the stamp of the preceding event."""
    data: AnyData = event.data  # type: ignore[assignment]
    match data:
        case JobsSubmitted():
            _add_jobs(state, data.jobs)
        case QueueStarted():  # includes QueueResumed
            if isinstance(data, QueueResumed):
                _end_ownership(state, before, data.owned_seconds)  # no-op unless its runner died
            state.state = "running"
            state.epoch = event.epoch
            state.version = data.version
            state.owner = data
            state.owned_seq = event.seq
            state.owned_since = event.at
            state.started_at = state.started_at or event.at
            state.ended_at = state.reason = state.detail = state.power_off_error = ""
            for job in state.jobs.values():
                job.restore_error = ""  # the note was about another machine
        case QueueReconfigured():
            state.config_sha256 = data.config_sha256
            state.jobs_total = data.jobs_total
            _apply_config(state, data.config)
        case RequestRefused():
            state.handled_requests[data.request] = None
        case QueueInterrupted():
            _end_queue(state, event.at, data, "interrupted", data.cause, data.detail)
        case QueueCompleted():
            _end_queue(state, event.at, data, "completed", "", "")
        case QueueFailed():
            _end_queue(state, event.at, data, "failed", data.reason, data.detail)
        case (
            QueueSubmitted()
            | JobStarted()
            | JobCompleted()
            | JobRetryScheduled()
            | JobFailed()
            | JobInterrupted()
            | JobBlocked()
            | JobUnblocked()
            | JobReset()
            | ResultsUploaded()
            | ResultsDelayed()
            | ResultsUploadFailed()
            | OutputNotSaved()
            | OutputSaved()
            | ResultsNotPutBack()
            | ResultsPutBack()
            | CheckpointSaved()
            | CheckpointNotSaved()
            | CheckpointPutBack()
            | MachineKept()
        ):
            raise AssertionError(f"{event.type} is not an event of the queue")
        case _ as never:
            assert_never(never)


def _end_attempt(state: QueueState, job: JobState, event: Event[Data], outcome: Outcome) -> None:
    del state.running[job.config.job_id]
    job.losses = 0
    job.outcome = outcome
    job.ended_at = outcome.ended_at or event.at


def _dependents(state: QueueState, job: JobState) -> list[JobState]:
    return [state.jobs[job_id] for job_id in state.dependents.get(job.config.job_id, ())]


def _release_dependents(state: QueueState, job: JobState) -> None:
    """Release the dependents that wait for a job's results."""
    if job.upload_pending:
        job.upload_pending = False
        if not job.is_open:
            state.release(job)


def _reset(state: QueueState, job: JobState) -> None:
    job_id = job.config.job_id
    was_open = job.is_open
    if job.state == "completed":
        for other in _dependents(state, job):
            other.uncompleted_dependencies += 1
        job.upload_pending = False
    for index in (state.uploading, state.upload_failed, state.failed):
        index.pop(job_id, None)
    job.failures = job.losses = 0
    job.uploaded = job.upload_failed = job.delayed = None
    job.restore_error = ""
    state.move(job, "pending")
    if not was_open:
        state.reopen(job)


def _end_ownership(state: QueueState, at: str, seconds: float | None) -> None:
    """Add an epoch of `seconds` to the owned time; None: it lasted until `at`."""
    if state.owned_since:
        if seconds is None:
            seconds = seconds_between(state.owned_since, at)
        state.owned_seconds += max(0.0, seconds)
        state.owned_since = ""


def _end_queue(
    state: QueueState, at: str, end: EpochEnd, to: str, reason: str, detail: str
) -> None:
    _end_ownership(state, at, end.owned_seconds)
    state.state = to
    state.ended_at = at
    state.reason, state.detail = reason, detail


def _apply_config(state: QueueState, config: QueueConfig) -> None:
    """Apply a configuration. A job with the id of an earlier one keeps its state; separate events
    reset or block it."""
    state.previous_jobs, state.jobs, state.order = state.jobs, {}, []
    state.counts = dict.fromkeys(JOB_MOVES, 0)
    state.config = structs.replace(config, jobs=())
    _add_jobs(state, config.jobs)


def _add_jobs(state: QueueState, jobs: tuple[JobConfig, ...]) -> None:
    for config in jobs:
        index = len(state.order)
        job = state.previous_jobs.pop(config.job_id, None)
        if job is None:
            job = JobState(config=config, index=index)
        else:
            job.config, job.index = config, index
        state.jobs[config.job_id] = job
        state.order.append(config.job_id)
        state.counts[job.state] += 1
    if state.all_jobs_read:
        for index_ in (state.failed, state.retrying, state.uploading, state.upload_failed):
            for gone in state.previous_jobs.keys() & index_.keys():
                del index_[gone]
        state.previous_jobs = {}
        state.link()
