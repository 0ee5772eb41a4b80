"""The state of a queue and its jobs, as replay builds it from the log.

Only `core.evolve` changes it. Its size grows with the number of jobs, not of events.
"""

from collections.abc import Collection
from heapq import heappop, heappush

from msgspec import Struct

from spawn.core.config.model import JobConfig, QueueConfig
from spawn.core.domain.events import (
    CheckpointSaved,
    JobCompleted,
    JobFailed,
    JobInterrupted,
    JobRetryScheduled,
    JobStarted,
    Outcome,
    QueueStarted,
    Results,
    ResultsDelayed,
    ResultsUploaded,
    ResultsUploadFailed,
)
from spawn.core.values import dag


class JobState(Struct, kw_only=True):
    """One job: its state, its newest attempt, its budget."""

    config: JobConfig
    index: int
    state: str = "pending"
    attempt: int = 0
    """Number of the newest attempt over the job's life; 0 before the first."""
    failures: int = 0
    """The job's own failures since its last reset, which count against its budget."""
    losses: int = 0
    """Consecutive attempts that were lost or ended with their host."""
    open_dependencies: int = 0
    """Number of dependencies that the job waits for: those with `is_open`."""
    uncompleted_dependencies: int = 0
    """Number of dependencies that are not completed."""
    blocked_by: str = ""
    queued: bool = False
    """Whether the job is in `QueueState.ready`."""
    epoch: int = 0
    """Epoch of the runner that started the newest attempt."""
    started: JobStarted | None = None
    """How the newest attempt began."""
    started_at: str = ""
    outcome: Outcome | None = None
    """How the newest attempt ended; None while it runs."""
    ended_at: str = ""
    """When its command ended, as far as known."""
    uploaded: ResultsUploaded | None = None
    upload_failed: ResultsUploadFailed | None = None
    delayed: ResultsDelayed | None = None
    """Set if dependents no longer wait for the upload of the job's results."""
    output_error: str = ""
    """Why the newest attempt's output or metadata is not in the object store."""
    upstream_resets: int = 0
    """How many times a dependency was reset since this job completed: its new attempt may overwrite
    this job's files."""
    restore_error: str = ""
    """Why the job's results cannot yet be restored on the machine that needs them."""
    checkpoint: CheckpointSaved | None = None
    """The newest checkpoint, from which the next attempt may resume."""
    checkpoint_error: str = ""
    """Why the newest attempt's checkpoint is only on its machine."""
    upload_pending: bool = False
    """Whether dependents wait for the upload of the job's results."""

    @property
    def token(self) -> str:
        """The newest attempt's token."""
        return self.started.token if self.started else ""

    @property
    def is_open(self) -> bool:
        """Whether dependents wait for the job: it has not completed, its results are being
        uploaded, or one of its dependencies is open again, whose results dependents may read."""
        return self.state != "completed" or self.upload_pending or self.open_dependencies > 0

    @property
    def pid(self) -> int:
        """The PID of the command while it runs, else 0."""
        return self.started.pid if self.started and self.state == "running" else 0

    @property
    def folder(self) -> str:
        """The newest attempt's folder; empty if its command could not be prepared."""
        return self.started.folder if self.started else ""

    @property
    def log_file(self) -> str:
        """Path of the job's combined log."""
        return self.started.log_file if self.started else ""

    @property
    def log_offset(self) -> int:
        """Offset in bytes at which the newest attempt begins in the log."""
        return self.started.log_offset if self.started else 0

    @property
    def why(self) -> str:
        """Why the newest attempt did not complete; else empty."""
        outcome = self.outcome
        if isinstance(outcome, JobInterrupted):
            return outcome.cause
        return outcome.why if isinstance(outcome, JobRetryScheduled | JobFailed) else ""

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last lines of a failed attempt's output, oldest first."""
        outcome = self.outcome
        return outcome.last_lines if isinstance(outcome, JobRetryScheduled | JobFailed) else ()

    @property
    def delay(self) -> float:
        """Seconds from the failure to the retry."""
        return self.outcome.delay if isinstance(self.outcome, JobRetryScheduled) else 0.0

    @property
    def retry_at(self) -> str:
        """The stamp at which the retry is due; else empty."""
        return self.outcome.retry_at if isinstance(self.outcome, JobRetryScheduled) else ""

    @property
    def results(self) -> Results | None:
        """The manifest summary of a completed attempt with `result_files`."""
        return self.outcome.results if isinstance(self.outcome, JobCompleted) else None

    @property
    def unmatched(self) -> tuple[str, ...]:
        """`result_files` patterns that matched no file."""
        event = self.uploaded or self.upload_failed
        return event.unmatched if event else ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Contents of result folders that are not kept, for the results or else the checkpoint."""
        event = self.uploaded or self.upload_failed or self.checkpoint
        return event.left_out if event else ()

    @property
    def attempts(self) -> int:
        """Budget used, including a running or completed attempt: the `1` of `1/3`."""
        return self.failures + (self.state in ("running", "completed"))

    @property
    def max_attempts(self) -> int:
        """The `3` of `1/3`."""
        return self.config.retry.max_attempts


class QueueState(Struct, kw_only=True):
    """A queue: its configuration, its jobs, and indexes that spare `plan` a scan of all jobs."""

    queue_id: str
    config: QueueConfig
    """The configuration without its jobs, which are in `jobs`."""
    state: str = "pending"
    jobs: dict[str, JobState]
    jobs_total: int
    config_sha256: str
    version: str
    """The version of spawn that writes the current epoch."""
    epoch: int = 0
    submitted_at: str = ""
    started_at: str = ""
    ended_at: str = ""
    """When the queue ended or was interrupted; empty while it has an owner."""
    last_at: str = ""
    owned_since: str = ""
    owned_seconds: float = 0.0
    """Seconds that runners owned the queue before `owned_since`."""
    owner: QueueStarted | None = None
    owned_seq: int = 0
    """The seq of the owner's `QueueStarted` or `QueueResumed`."""
    reason: str = ""
    detail: str = ""
    order: list[str]
    """Job ids in file order."""
    previous_jobs: dict[str, JobState] = {}
    """Jobs of the previous configuration, until all jobs of the new one are read."""
    dependents: dict[str, tuple[str, ...]] = {}
    counts: dict[str, int]
    ready: list[int] = []
    """A heap of the indexes of pending jobs that can start; stale entries are skipped."""
    running: dict[str, None] = {}
    """Jobs with an open attempt, oldest first."""
    retrying: dict[str, None] = {}
    failed: dict[str, None] = {}
    uploading: dict[str, None] = {}
    """Completed jobs whose results are being uploaded."""
    upload_failed: dict[str, None] = {}
    """Completed jobs whose results could not be uploaded."""
    power_off_error: str = ""
    """Why the configured power-off at the end of the newest epoch did not happen."""
    handled_requests: dict[str, None] = {}
    """Requests that were executed or rejected, so that none is handled twice."""

    @property
    def ended(self) -> bool:
        """Whether the queue is completed or failed, and only a user can resume it."""
        return self.state in ("completed", "failed")

    @property
    def all_jobs_read(self) -> bool:
        """Whether all jobs of the configuration have been read."""
        return len(self.jobs) == self.jobs_total

    def job_at(self, index: int) -> JobState:
        """Return the job at this position of the file, counted from 0."""
        return self.jobs[self.order[index]]

    def move(self, job: JobState, state: str) -> None:
        """Change a job's state and update the counts."""
        self.counts[job.state] -= 1
        self.counts[state] += 1
        job.state = state
        if state == "pending" and not job.open_dependencies:
            self.enqueue(job)

    def enqueue(self, job: JobState) -> None:
        """Add a job that can start to `ready`."""
        if not job.queued:
            job.queued = True
            heappush(self.ready, job.index)

    def next_ready(self, held: Collection[str] = ()) -> JobState | None:
        """Return the first job in file order that can start now, without removing it.

        Args:
            held: Jobs that must not start, and completed jobs whose dependents must not start.
        """
        aside: list[int] = []
        found = None
        while self.ready and found is None:
            job = self.job_at(self.ready[0])
            if job.state != "pending" or job.open_dependencies:
                job.queued = False
                heappop(self.ready)
            elif held and is_held(job, held):
                aside.append(heappop(self.ready))
            else:
                found = job
        for index in aside:
            heappush(self.ready, index)
        return found

    def link(self) -> None:
        """Compute dependents and ready jobs, once all jobs are known."""
        self.dependents = dag.dependents(
            {job_id: job.config.depends_on for job_id, job in self.jobs.items()}
        )
        self.ready.clear()
        for job in self.jobs.values():
            needs = [self.jobs[need] for need in job.config.depends_on]
            job.uncompleted_dependencies = sum(need.state != "completed" for need in needs)
            job.open_dependencies = job.uncompleted_dependencies + sum(
                need.upload_pending for need in needs
            )
            job.queued = False
        for job in [each for each in self.jobs.values() if each.open_dependencies]:
            if job.state == "completed" and not job.upload_pending:
                self.reopen(job)
        for job in self.jobs.values():
            if job.state == "pending" and not job.open_dependencies:
                self.enqueue(job)

    def reopen(self, job: JobState) -> None:
        """Make dependents wait for a job that became open, and theirs if they have completed."""
        opened = [job]
        for each in opened:
            for other in map(self.jobs.__getitem__, self.dependents.get(each.config.job_id, ())):
                was_open = other.is_open
                other.open_dependencies += 1
                other.upstream_resets += 1
                if not was_open:
                    opened.append(other)

    def release(self, job: JobState) -> None:
        """Release the dependents of a job that is no longer open, and theirs."""
        done = [job]
        for each in done:
            for other in map(self.jobs.__getitem__, self.dependents.get(each.config.job_id, ())):
                other.open_dependencies -= 1
                if other.open_dependencies:
                    continue
                if other.state == "pending":
                    self.enqueue(other)
                elif not other.is_open:
                    done.append(other)

    def open_needs(self, job: JobState) -> list[str]:
        """Return the jobs that `job` waits for: its open dependencies. One that is open only
        because of its own dependencies is replaced by those."""
        found: dict[str, None] = {}
        sought = dict.fromkeys(job.config.depends_on)
        line = list(sought)
        for job_id in line:
            need = self.jobs[job_id]
            if need.state != "completed" or need.upload_pending:
                found[job_id] = None
            elif need.open_dependencies:
                further = [each for each in need.config.depends_on if each not in sought]
                sought.update(dict.fromkeys(further))
                line += further
        return list(found)


def is_held(job: JobState, held: Collection[str]) -> bool:
    """Return whether a job or one of its direct dependencies is among these."""
    return job.config.job_id in held or any(need in held for need in job.config.depends_on)
