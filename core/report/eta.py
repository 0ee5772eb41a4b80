"""Estimate when a queue will be done."""

from collections.abc import Mapping
from heapq import heappop, heappush

from spawn.core.plan import is_stopping
from spawn.core.state import QueueState


def seconds_left(
    state: QueueState, remaining: Mapping[str, float]
) -> tuple[float | None, tuple[str, ...]]:
    """Simulate the rest of the queue with the expected duration of each job.

    Args:
        remaining: Seconds that each job still needs, by job id.

    Returns:
        Seconds to the end, and the jobs that are not included: those that have yet to start and
        are not in `remaining`. The seconds are None if a running job is not in `remaining`, if any
        job is not while none runs, or if the queue cannot complete.
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
