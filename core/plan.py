"""What a queue does next. Deciding is apart from folding: this may choose, `evolve` never does."""

from collections.abc import Collection

from msgspec import Struct

from spawn.core.events import QueueCompleted, QueueFailed
from spawn.core.state import JobState, QueueState


class Start(Struct, frozen=True):
    """Begin the next attempt of this job."""

    job: JobState


class Finish(Struct, frozen=True):
    """Nothing is left to do: this is the end."""

    verdict: QueueCompleted | QueueFailed


class Wait(Struct, frozen=True):
    """Something is under way, or a retry's time has not come."""


Step = Start | Finish | Wait


def plan(state: QueueState, due: JobState | None = None, held: Collection[str] = ()) -> Step:
    """Decide the next step, at a constant cost however many jobs there are.

    Args:
        state: Of a queue that has an owner.
        due: The first in the file's order of the jobs whose `retry_at` has come and that nothing
            holds up.
        held: See `QueueState.next_ready`.
    """
    stopping = is_stopping(state)
    if not stopping and len(state.running) < state.config.max_parallel:
        ready = state.next_ready(held)
        if due is not None and not due.missing and (ready is None or due.index < ready.index):
            ready = due
        if ready is not None:
            return Start(ready)
    if state.running or state.uploading:
        return Wait()
    waits = state.next_ready() is not None  # it is held up
    if not stopping and (waits or any(not state.jobs[id_].missing for id_ in state.retrying)):
        return Wait()
    return Finish(verdict(state))


def foresee(state: QueueState) -> JobState | None:
    """The job that will start next if what runs completes, as far as a short look can tell."""
    if is_stopping(state) or not state.running:
        return None
    ready = state.next_ready()
    if ready is not None:
        return ready
    for job_id in state.running:
        for waiting in state.dependents[job_id][:1]:
            job = state.jobs[waiting]
            if job.state == "pending" and job.missing == 1:
                return job
    return None


def is_stopping(state: QueueState) -> bool:
    """Whether a failure ends the queue as soon as what runs has finished."""
    return bool(state.failed) and state.config.on_failure == "stop"


def verdict(state: QueueState) -> QueueCompleted | QueueFailed:
    """Say how a queue with nothing left to do has ended."""
    if state.failed:
        return QueueFailed(reason="jobs", detail=_names(list(state.failed)))
    if state.unsaved:
        return QueueFailed(reason="results", detail=_names(list(state.unsaved)))
    return QueueCompleted()


def _names(job_ids: list[str]) -> str:
    shown = ", ".join(job_ids[:10])
    return shown if len(job_ids) <= 10 else f"{shown} and {len(job_ids) - 10} more"
