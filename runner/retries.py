"""Which failed jobs are tried again, and when."""

from collections.abc import Collection
from heapq import heappop, heappush

from spawn.core.state import JobState, QueueState, is_held
from spawn.runner.ports import Clock


class Retries:
    """Timers of jobs that wait for their retry, and the jobs whose time has come.

    What is due is only a hint: the state decides. A job that was reset meanwhile, or started, is
    passed over.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timers: list[tuple[float, str, int]] = []
        self._due: list[int] = []
        """A heap of indexes in the file's order."""
        self._held_up: list[int] = []

    def wait(self, job: JobState, seconds: float) -> None:
        """Have a job tried again after so long."""
        due = self._clock.monotonic() + seconds
        heappush(self._timers, (due, job.config.job_id, job.attempt))

    def wake(self, state: QueueState) -> None:
        """See whose time has come, and give another chance to those that something held up."""
        now = self._clock.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, job_id, attempt = heappop(self._timers)
            job = state.jobs.get(job_id)
            if job is not None and job.state == "retrying" and job.attempt == attempt:
                heappush(self._due, job.index)
        while self._held_up:  # what held it up may be gone
            heappush(self._due, self._held_up.pop())

    def find(self, state: QueueState) -> None:
        """Find anew whose time has come: all that no timer is set for."""
        timed = {job_id for _, job_id, _ in self._timers}
        self._held_up.clear()
        self._due = sorted(
            state.jobs[job_id].index for job_id in state.retrying if job_id not in timed
        )

    def first(self, state: QueueState, held: Collection[str]) -> JobState | None:
        """The first job in the file's order that could be tried again now.

        Args:
            held: See `QueueState.next_ready`.
        """
        while self._due:
            job = state.job_at(self._due[0])
            up = job.missing or is_held(job, held)
            if job.state == "retrying" and not up:
                return job
            heappop(self._due)
            if job.state == "retrying":
                self._held_up.append(job.index)
        return None

    @property
    def next_at(self) -> float | None:
        """When the next timer runs out, by the monotonic clock; None where none is set."""
        return self._timers[0][0] if self._timers else None
