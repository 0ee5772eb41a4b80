"""Find what would be lost with an instance: parts of a queue's log and files that are not in S3.

Anything unknown counts as lost.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from spawn.core.domain.state import QueueState

_MAX_NAMES = 3


class QueueCopy(Struct, frozen=True, kw_only=True):
    """What is known about a queue on an instance and about its copy in S3."""

    queue_id: str
    state: QueueState | None = None
    """The state at the newest known event; None if unknown or if the queue has not started."""
    seq: int = 0
    """The seq of that event."""
    alive: bool = False
    """Whether the queue has, or may have, a runner."""
    location: str = ""
    """Location of the copy; empty if there is none."""
    stored: int = 0
    """The seq of the newest event in the copy."""
    handed_back: bool = False
    """Whether the runner handed back the lease after uploading everything."""
    unsaved: tuple[str, ...] = ()
    """Jobs with a finished attempt on this instance whose output is not in the copy."""
    unknown_why: str = ""
    """Why the content of the copy is unknown."""


class Loss(Struct, frozen=True):
    """Something that would be lost, and what to do about it first; `do` may be empty."""

    what: str
    hint: str = ""


def losses(copy: QueueCopy, instance_id: str) -> tuple[Loss, ...]:
    """Return what would be lost of a queue with this instance; empty if nothing."""
    name = f"queue {copy.queue_id}"
    if copy.unknown_why:
        return (Loss(f"cannot determine what of {name} is in S3: {copy.unknown_why}"),)
    state = copy.state
    if state is None:
        return ()  # the queue has not started
    if not copy.location:
        return (
            Loss(
                f"{name} has no bucket: its log and results are only on the instance",
                f"copy what you need: `spawn queue logs {instance_id} JOB`, `spawn queue history "
                f"{instance_id} --json`, and files with `spawn connect`",
            ),
        )
    owner = state.owner
    if owner is not None and owner.instance_id != instance_id and copy.stored >= copy.seq:
        return ()  # another machine owns the queue, and S3 has everything that counts
    return tuple(_missing_parts(copy, state, instance_id))


def _missing_parts(copy: QueueCopy, state: QueueState, instance_id: str) -> Iterator[Loss]:
    name = f"queue {copy.queue_id}"
    asked = f"{instance_id} --queue {copy.queue_id}"
    resume = f"`spawn queue resume {asked}` uploads"
    unfinished = state.state in ("pending", "running")
    if state.running or (unfinished and copy.alive):
        jobs = f": {_join(list(state.running))}" if state.running else ""
        yield Loss(
            f"{name} is running{jobs}" if copy.alive else f"{name} may still be running{jobs}",
            f"`spawn queue cancel {asked}` stops it, `spawn queue wait {asked}` waits for its end",
        )
        return
    results = [*state.uploading, *state.upload_failed]
    results += [
        job_id for job_id, job in state.jobs.items() if job.upload_failed and job_id not in results
    ]
    if results:
        yield Loss(f"results of {name} are not in S3: {_join(results)}", f"{resume} them")
    output = dict.fromkeys(copy.unsaved)
    output.update(dict.fromkeys(job_id for job_id, job in state.jobs.items() if job.output_error))
    if output:
        yield Loss(f"output of {name} is not in S3: {_join(list(output))}", f"{resume} it")
    behind = copy.seq - copy.stored
    if behind > 0:
        events = "1 event" if behind == 1 else f"{behind} events"
        yield Loss(f"{events} of the log of {name} {'is' if behind == 1 else 'are'} not in S3")
    if copy.alive and not unfinished:
        yield Loss(
            f"the runner of {name} is still uploading to S3",
            f"`spawn queue status {asked}` shows its progress",
        )
    elif not copy.handed_back and not results and not output:
        yield Loss(
            f"the runner of {name} has not confirmed that everything is in S3",
            f"{resume} what is missing",
        )


def _join(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
