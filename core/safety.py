"""What would be lost of a queue if its instance were gone: what of its log and files is not in S3.

What cannot be told counts as lost.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from spawn.core.state import QueueState

_NAMED = 3


class Copy(Struct, frozen=True, kw_only=True):
    """What is known of a queue of an instance, and of its copy in S3."""

    queue_id: str
    state: QueueState | None = None
    """As of the newest event that anybody could tell; None where nothing could be told, or where
    the queue has not begun."""
    seq: int = 0
    """That event."""
    alive: bool = False
    """Whether a runner holds it, or may."""
    location: str = ""
    """Where its copy is; empty where it has none."""
    stored: int = 0
    """The newest event there."""
    handed_back: bool = False
    """Whether its runner has said that it brings no more."""
    unsaved: tuple[str, ...] = ()
    """Jobs with an attempt, made on this instance and over, whose output is not there."""
    trouble: str = ""
    """Why it cannot be told what is in S3."""


class Missing(Struct, frozen=True):
    """Something that would be lost, and what to do first; that may be empty."""

    what: str
    do: str = ""


def missing(copy: Copy, instance_id: str) -> tuple[Missing, ...]:
    """Say what would be lost of a queue with this instance; empty when nothing would."""
    name = f"queue {copy.queue_id}"
    if copy.trouble:
        return (Missing(f"nobody can tell what of {name} is in S3: {copy.trouble}"),)
    state = copy.state
    if state is None:
        return ()  # nothing has begun
    if not copy.location:
        return (
            Missing(
                f"{name} has no bucket: its log and results are on the instance alone",
                f"copy what is needed: `spawn queue logs {instance_id} JOB`, `spawn queue history "
                f"{instance_id} --json`, and its files by `spawn connect`",
            ),
        )
    owner = state.owner
    if owner is not None and owner.instance_id != instance_id and copy.stored >= copy.seq:
        return ()  # it goes on, or ended, elsewhere; what counts of it is in S3
    return tuple(_missing(copy, state, instance_id))


def _missing(copy: Copy, state: QueueState, instance_id: str) -> Iterator[Missing]:
    name = f"queue {copy.queue_id}"
    asked = f"{instance_id} --queue {copy.queue_id}"
    resume = f"`spawn queue resume {asked}` brings it there"
    goes_on = state.state in ("pending", "running")
    if state.running or (goes_on and copy.alive):
        jobs = f": {_all(list(state.running))}" if state.running else ""
        yield Missing(
            f"{name} is running{jobs}" if copy.alive else f"{name} may still run{jobs}",
            f"`spawn queue cancel {asked}` ends it, `spawn queue wait {asked}` waits for its end",
        )
        return
    results = [*state.uploading, *state.unsaved]
    results += [
        job_id for job_id, job in state.jobs.items() if job.upload_failed and job_id not in results
    ]
    if results:
        yield Missing(f"results of {name} are not in S3: {_all(results)}", resume)
    output = dict.fromkeys(copy.unsaved)
    output.update(dict.fromkeys(job_id for job_id, job in state.jobs.items() if job.output_unsaved))
    if output:
        yield Missing(f"output of {name} is not in S3: {_all(list(output))}", resume)
    behind = copy.seq - copy.stored
    if behind > 0:
        events = "1 event" if behind == 1 else f"{behind} events"
        yield Missing(f"{events} of the log of {name} {'is' if behind == 1 else 'are'} not in S3")
    if copy.alive and not goes_on:
        yield Missing(
            f"the runner of {name} is still at work, and brings the rest to S3",
            f"`spawn queue status {asked}` says how far it is",
        )
    elif not copy.handed_back and not results and not output:
        yield Missing(
            f"the runner of {name} has not said that all of it is in S3",
            resume.replace("brings it there", "lets another one see to that"),
        )


def _all(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
