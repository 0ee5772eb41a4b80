"""Timers of the jobs that wait for a retry."""

from collections.abc import Collection
from heapq import heappop, heappush

from spawn.core.domain.state import JobState, QueueState, is_held
from spawn.runner.ports import Clock


class Retries:
    """Timers of jobs that wait for a retry, and the jobs that are due.

    A due job is only a hint: it is skipped if the state shows that it was reset or started.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timers: list[tuple[float, str, int]] = []
        self._due: list[int] = []
        """A heap of the jobs' indexes in the configuration."""
        self._held: list[int] = []
        """Indexes of due jobs that `first` has skipped because something held them."""

    def schedule(self, job: JobState, seconds: float) -> None:
        """Make a job due after `seconds`."""
        due = self._clock.monotonic() + seconds
        heappush(self._timers, (due, job.config.job_id, job.attempt))

    def collect_due(self, state: QueueState) -> None:
        """Collect the jobs that are due by now, including those that were held."""
        now = self._clock.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, job_id, attempt = heappop(self._timers)
            job = state.jobs.get(job_id)
            if job is not None and job.state == "retrying" and job.attempt == attempt:
                heappush(self._due, job.index)
        while self._held:
            heappush(self._due, self._held.pop())

    def rebuild(self, state: QueueState) -> None:
        """Rebuild the due jobs: all retrying jobs without a timer."""
        timed = {job_id for _, job_id, _ in self._timers}
        self._held.clear()
        self._due = sorted(
            state.jobs[job_id].index for job_id in state.retrying if job_id not in timed
        )

    def first_due(self, state: QueueState, held: Collection[str]) -> JobState | None:
        """The first due job, in the configuration's order, that can be retried now.

        Args:
            held: As for `QueueState.next_ready`.
        """
        while self._due:
            job = state.job_at(self._due[0])
            must_wait = job.open_dependencies or is_held(job, held)
            if job.state == "retrying" and not must_wait:
                return job
            heappop(self._due)
            if job.state == "retrying":
                self._held.append(job.index)
        return None

    @property
    def next_at(self) -> float | None:
        """When the next timer expires, by the monotonic clock; None without a timer."""
        return self._timers[0][0] if self._timers else None
