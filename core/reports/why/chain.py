"""Find the job that another one waits for: the shortest path through unfinished dependencies."""

from msgspec import Struct

from spawn.core.domain.state import JobState, QueueState

ACTIVE = ("running", "retrying", "failed")


class Chain(Struct, frozen=True):
    """A wait. `jobs`: the given job first, each waiting for the next; the last is the root.

    `others` are further unfinished dependencies of the given job.
    """

    jobs: tuple[str, ...]
    others: tuple[str, ...] = ()


def trace(state: QueueState, job_id: str) -> Chain:
    """Follow a job's dependencies to the nearest job that waits for no other job.

    The root is running, failed, waiting for its retry or a free slot, or uploading results. The
    chain of a blocked job ends at the failed job named in the log.
    """
    job = state.jobs[job_id]
    if not _waits(state, job):
        return Chain((job_id,))
    goal = job.blocked_by
    came_from: dict[str, str] = {job_id: ""}
    line = [job_id]
    for each in line:
        here = state.jobs[each]
        if each == goal or (not goal and each != job_id and not _waits(state, here)):
            break
        for need in state.open_needs(here):
            if need not in came_from:
                came_from[need] = each
                line.append(need)
    else:
        each = line[-1]  # the failed job is no longer a dependency
        if goal:
            return Chain((job_id, goal), _others(state, job, goal))
    path = [each]
    while path[-1] != job_id:
        path.append(came_from[path[-1]])
    path.reverse()
    return Chain(tuple(path), _others(state, job, path[1]))


def _waits(state: QueueState, job: JobState) -> bool:
    """Return whether a job waits for another one."""
    return job.state == "blocked" or (
        job.state in ("pending", "retrying") and bool(state.open_needs(job))
    )


def _others(state: QueueState, job: JobState, first: str) -> tuple[str, ...]:
    return tuple(need for need in state.open_needs(job) if need != first)
