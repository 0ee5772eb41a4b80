"""Decide what a queue does next. Separate from `evolve`, which only applies decisions."""

from collections.abc import Collection

from msgspec import Struct

from spawn.core.domain.events import QueueCompleted, QueueFailed
from spawn.core.domain.state import JobState, QueueState


class Start(Struct, frozen=True):
    """Start the next attempt of this job."""

    job: JobState


class Finish(Struct, frozen=True):
    """End the queue: nothing is left to do."""

    verdict: QueueCompleted | QueueFailed


class Wait(Struct, frozen=True):
    """Wait for a running job, an upload, a restore or a retry."""


Step = Start | Finish | Wait


def plan(state: QueueState, due: JobState | None = None, held: Collection[str] = ()) -> Step:
    """Decide the next step, in constant time for any number of jobs.

    Args:
        state: The state of a queue that has an owner.
        due: The first job in file order whose `retry_at` has passed and that may start.
        held: As in `QueueState.next_ready`.
    """
    stopping = is_stopping(state)
    if not stopping and len(state.running) < state.config.max_parallel:
        ready = state.next_ready(held)
        if (
            due is not None
            and not due.open_dependencies
            and (ready is None or due.index < ready.index)
        ):
            ready = due
        if ready is not None:
            return Start(ready)
    if state.running or state.uploading:
        return Wait()
    waits = state.next_ready() is not None  # a job is ready but held
    if not stopping and (
        waits or any(not state.jobs[id_].open_dependencies for id_ in state.retrying)
    ):
        return Wait()
    return Finish(final_event(state))


def likely_next(state: QueueState) -> JobState | None:
    """Return the job that probably starts next once a running job completes; None if unclear."""
    if is_stopping(state) or not state.running:
        return None
    ready = state.next_ready()
    if ready is not None:
        return ready
    for job_id in state.running:
        for waiting in state.dependents[job_id][:1]:
            job = state.jobs[waiting]
            if job.state == "pending" and job.open_dependencies == 1:
                return job
    return None


def is_stopping(state: QueueState) -> bool:
    """Return whether the queue ends after its running jobs, because a job failed."""
    return bool(state.failed) and state.config.on_failure == "stop"


def final_event(state: QueueState) -> QueueCompleted | QueueFailed:
    """Return the final event of a queue with nothing left to do."""
    if state.failed:
        return QueueFailed(reason="jobs", detail=_names(list(state.failed)))
    if state.upload_failed:
        return QueueFailed(reason="results", detail=_names(list(state.upload_failed)))
    return QueueCompleted()


def _names(job_ids: list[str]) -> str:
    shown = ", ".join(job_ids[:10])
    return shown if len(job_ids) <= 10 else f"{shown} and {len(job_ids) - 10} more"
