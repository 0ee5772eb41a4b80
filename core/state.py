"""What a log amounts to: the state of a queue and of its jobs, as replay builds it.

Only `core.evolve` changes these. Size grows with jobs, never with events.
"""

from collections.abc import Collection
from heapq import heappop, heappush

from msgspec import Struct

from spawn.core import dag
from spawn.core.config.model import JobConfig, QueueConfig
from spawn.core.events import (
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


class JobState(Struct, kw_only=True):
    """One job: its state, its last attempt, its budget."""

    config: JobConfig
    index: int
    state: str = "pending"
    attempt: int = 0
    """The life number of the newest attempt; 0 before the first."""
    failures: int = 0
    """Failures that were the job's own since its last reset: the budget spent."""
    losses: int = 0
    """Attempts in a row that were lost, or ended with their host."""
    missing: int = 0
    """Dependencies that hold the job up, those of `is_open`."""
    unmet: int = 0
    """Dependencies that are not completed."""
    blocked_by: str = ""
    queued: bool = False
    """Whether the job is in `QueueState.ready`."""
    epoch: int = 0
    """Of the runner that started the newest attempt."""
    started: JobStarted | None = None
    """How the newest attempt began."""
    started_at: str = ""
    outcome: Outcome | None = None
    """How it ended; None while it runs."""
    ended_at: str = ""
    """When its command ended, as far as that is known."""
    uploaded: ResultsUploaded | None = None
    upload_failed: ResultsUploadFailed | None = None
    delayed: ResultsDelayed | None = None
    """Why what depends on the job does not wait for its results."""
    output_unsaved: str = ""
    """Why the newest attempt's output, or the facts of it, are not in the object store."""
    upstream_resets: int = 0
    """How often a job that this one depends on was reset since this one completed: the new attempt
    may overwrite this one's files."""
    not_put_back: str = ""
    """Why its results cannot be brought to the machine where they are needed, for now."""
    checkpoint: CheckpointSaved | None = None
    """What the next attempt may go on from: of the newest attempt that left one."""
    checkpoint_unsaved: str = ""
    """Why what the newest attempt had left is on its machine alone."""
    holding: bool = False
    """Whether what depends on the job waits for its results to be in the object store."""

    @property
    def token(self) -> str:
        """Of the newest attempt."""
        return self.started.token if self.started else ""

    @property
    def is_open(self) -> bool:
        """Whether dependents wait for the job: it has not completed, its results are on the way, or
        something that it depends on is open again, whose results its dependents may read, too."""
        return self.state != "completed" or self.holding or self.missing > 0

    @property
    def pid(self) -> int:
        """Of the command while it runs, else 0."""
        return self.started.pid if self.started and self.state == "running" else 0

    @property
    def folder(self) -> str:
        """Of the newest attempt; empty where its command could not even be prepared."""
        return self.started.folder if self.started else ""

    @property
    def log_file(self) -> str:
        """The job's combined log."""
        return self.started.log_file if self.started else ""

    @property
    def log_offset(self) -> int:
        """Where the newest attempt begins in it, bytes."""
        return self.started.log_offset if self.started else 0

    @property
    def why(self) -> str:
        """Why the newest attempt did not complete; empty otherwise."""
        outcome = self.outcome
        if isinstance(outcome, JobInterrupted):
            return outcome.cause
        return outcome.why if isinstance(outcome, JobRetryScheduled | JobFailed) else ""

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The end of a failed attempt's output, oldest first."""
        outcome = self.outcome
        return outcome.last_lines if isinstance(outcome, JobRetryScheduled | JobFailed) else ()

    @property
    def delay(self) -> float:
        """Seconds from the failure to the retry."""
        return self.outcome.delay if isinstance(self.outcome, JobRetryScheduled) else 0.0

    @property
    def retry_at(self) -> str:
        """When the retry is due."""
        return self.outcome.retry_at if isinstance(self.outcome, JobRetryScheduled) else ""

    @property
    def results(self) -> Results | None:
        """The manifest in short of a completed attempt that promised results."""
        return self.outcome.results if isinstance(self.outcome, JobCompleted) else None

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Patterns of results that matched nothing."""
        said = self.uploaded or self.upload_failed
        return said.unmatched if said else ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """What is in its result folders and is not kept, of its results or else its checkpoint."""
        said = self.uploaded or self.upload_failed or self.checkpoint
        return said.left_out if said else ()

    @property
    def attempts(self) -> int:
        """Budget spent, an attempt that runs or completed included: the `1` of `1/3`."""
        return self.failures + (self.state in ("running", "completed"))

    @property
    def max_attempts(self) -> int:
        """The `3` of `1/3`."""
        return self.config.retry.max_attempts


class QueueState(Struct, kw_only=True):
    """A queue: its configuration, its jobs, and what `plan` must know without a scan of them."""

    queue_id: str
    config: QueueConfig
    """Without its jobs: they are in `jobs`."""
    state: str = "pending"
    jobs: dict[str, JobState]
    jobs_total: int
    config_sha256: str
    version: str
    """The version of spawn that wrote the newest epoch."""
    epoch: int = 0
    submitted_at: str = ""
    started_at: str = ""
    ended_at: str = ""
    """When the queue reached its end or was interrupted; empty while it has an owner."""
    last_at: str = ""
    owned_since: str = ""
    owned_seconds: float = 0.0
    """How long runners owned the queue, up to `owned_since`."""
    owner: QueueStarted | None = None
    owned_seq: int = 0
    """The seq of the event that made it the owner."""
    reason: str = ""
    detail: str = ""
    order: list[str]
    """Job ids in the file's order."""
    replaced: dict[str, JobState] = {}
    """Jobs of the configuration before, until all of the new one's are read."""
    dependents: dict[str, tuple[str, ...]] = {}
    counts: dict[str, int]
    ready: list[int] = []
    """A heap of the indexes of pending jobs that nothing holds up; stale entries are skipped."""
    running: dict[str, None] = {}
    """Jobs with an open attempt, oldest first."""
    retrying: dict[str, None] = {}
    failed: dict[str, None] = {}
    uploading: dict[str, None] = {}
    """Completed jobs whose results are on their way."""
    unsaved: dict[str, None] = {}
    """Completed jobs whose results could not be uploaded."""
    kept: str = ""
    """Why the machine was not powered off at the end of the newest epoch, though it was to be."""
    answered: dict[str, None] = {}
    """Requests that were followed or refused: none is answered twice."""

    @property
    def ended(self) -> bool:
        """Whether nothing will happen without a person: completed or failed."""
        return self.state in ("completed", "failed")

    @property
    def whole(self) -> bool:
        """Whether every job of the configuration has been read."""
        return len(self.jobs) == self.jobs_total

    def job_at(self, index: int) -> JobState:
        """The job at this place of the file, counted from 0."""
        return self.jobs[self.order[index]]

    def move(self, job: JobState, state: str) -> None:
        """Put a job into another state and keep the counts right."""
        self.counts[job.state] -= 1
        self.counts[state] += 1
        job.state = state
        if state == "pending" and not job.missing:
            self.enqueue(job)

    def enqueue(self, job: JobState) -> None:
        """Let a job that nothing holds up take its turn in the file's order."""
        if not job.queued:
            job.queued = True
            heappush(self.ready, job.index)

    def next_ready(self, held: Collection[str] = ()) -> JobState | None:
        """The first job in the file's order that could start now; it stays where it is.

        Args:
            held: Jobs that wait though they are ready, and those whose dependents do though they
                are completed.
        """
        aside: list[int] = []
        found = None
        while self.ready and found is None:
            job = self.job_at(self.ready[0])
            if job.state != "pending" or job.missing:
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
        """Derive who depends on whom and who is ready, once all jobs are known."""
        self.dependents = dag.dependents(
            {job_id: job.config.depends_on for job_id, job in self.jobs.items()}
        )
        self.ready.clear()
        for job in self.jobs.values():
            needs = [self.jobs[need] for need in job.config.depends_on]
            job.unmet = sum(need.state != "completed" for need in needs)
            job.missing = job.unmet + sum(need.holding for need in needs)
            job.queued = False
        for job in [each for each in self.jobs.values() if each.missing]:
            if job.state == "completed" and not job.holding:
                self.reopen(job)
        for job in self.jobs.values():
            if job.state == "pending" and not job.missing:
                self.enqueue(job)

    def reopen(self, job: JobState) -> None:
        """Let dependents wait for a job that has become open, and theirs where they completed."""
        opened = [job]
        for each in opened:
            for other in map(self.jobs.__getitem__, self.dependents.get(each.config.job_id, ())):
                was_open = other.is_open
                other.missing += 1
                other.upstream_resets += 1
                if not was_open:
                    opened.append(other)

    def release(self, job: JobState) -> None:
        """Let dependents wait no longer for a job that is open no more, nor theirs."""
        done = [job]
        for each in done:
            for other in map(self.jobs.__getitem__, self.dependents.get(each.config.job_id, ())):
                other.missing -= 1
                if other.missing:
                    continue
                if other.state == "pending":
                    self.enqueue(other)
                elif not other.is_open:
                    done.append(other)

    def open_needs(self, job: JobState) -> list[str]:
        """The jobs that hold `job` up: its open dependencies, and for each of them that is open
        only because of its own, those."""
        found: dict[str, None] = {}
        sought = dict.fromkeys(job.config.depends_on)
        line = list(sought)
        for job_id in line:
            need = self.jobs[job_id]
            if need.state != "completed" or need.holding:
                found[job_id] = None
            elif need.missing:
                further = [each for each in need.config.depends_on if each not in sought]
                sought.update(dict.fromkeys(further))
                line += further
        return list(found)


def is_held(job: JobState, held: Collection[str]) -> bool:
    """Whether a job, or one that it depends on, is among these."""
    return job.config.job_id in held or any(need in held for need in job.config.depends_on)
