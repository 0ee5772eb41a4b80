"""When a queue will be done, if that can be told."""

from collections.abc import Mapping
from heapq import heappop, heappush

from spawn.core.plan import is_stopping
from spawn.core.state import QueueState


def seconds_left(state: QueueState, remaining: Mapping[str, float]) -> float | None:
    """Play the rest of the queue through, each job taking as long as is expected of it.

    Args:
        remaining: Seconds that each job still needs, by job id.

    Returns:
        Seconds to the end; None when a job that is still to run is not among `remaining`, or when
        the queue cannot complete.
    """
    if state.state not in ("running", "pending") or is_stopping(state) or state.counts["blocked"]:
        return None
    open_jobs = [job for job in state.jobs.values() if job.state not in ("completed", "failed")]
    if any(job.config.job_id not in remaining for job in open_jobs):
        return None
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
            heappush(busy, (now + remaining[job.config.job_id], job.config.job_id))
        now, done = heappop(busy)
        for job_id in state.dependents.get(done, ()):
            if job_id in missing:
                missing[job_id] -= 1
                if not missing[job_id] and state.jobs[job_id].state != "running":
                    heappush(ready, state.jobs[job_id].index)
    return now
