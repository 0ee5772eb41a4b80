"""When a queue will be done, if that can be told."""

from collections.abc import Mapping
from heapq import heappop, heappush

from spawn.core.plan import is_stopping
from spawn.core.state import QueueState


def seconds_left(
    state: QueueState, remaining: Mapping[str, float]
) -> tuple[float | None, tuple[str, ...]]:
    """Play the rest of the queue through, each job taking as long as is expected of it.

    Args:
        remaining: Seconds that each job still needs, by job id.

    Returns:
        Seconds to the end, and the jobs whose time is not in that: those that have yet to start
        and are not among `remaining`. None when that is so of a job that runs, or of any while none
        runs, or when the queue cannot complete.
    """
    if state.state not in ("running", "pending") or is_stopping(state) or state.counts["blocked"]:
        return None, ()
    open_jobs = [job for job in state.jobs.values() if job.state not in ("completed", "failed")]
    unknown = tuple(job.config.job_id for job in open_jobs if job.config.job_id not in remaining)
    if unknown and (not state.running or any(job_id in state.running for job_id in unknown)):
        return None, ()
    missing = {job.config.job_id: job.unmet for job in open_jobs}
    busy: list[tuple[float, str]] = []
    ready: list[int] = []
    for job in open_jobs:
        job_id = job.config.job_id
        if job.state == "running":
            heappush(busy, (remaining[job_id], job_id))
        elif not missing[job_id]:
            heappush(ready, job.index)
    now = 0.0
    while busy or ready:
        while ready and len(busy) < state.config.max_parallel:
            job = state.job_at(heappop(ready))
            heappush(busy, (now + remaining.get(job.config.job_id, 0.0), job.config.job_id))
        now, done = heappop(busy)
        for job_id in state.dependents.get(done, ()):
            if job_id in missing:
                missing[job_id] -= 1
                if not missing[job_id] and state.jobs[job_id].state != "running":
                    heappush(ready, state.jobs[job_id].index)
    return now, unknown
