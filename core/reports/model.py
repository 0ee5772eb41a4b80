"""The report of a queue at a point in time. Times have a time zone, durations are seconds."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from spawn.core.config.model import JobConfig
from spawn.core.reports.progress import Progress


class LiveData(Struct, frozen=True, kw_only=True):
    """What the machine knows about a job beyond the log; not part of its state."""

    progress: Progress | None = None
    recent: tuple[str, ...] = ()
    """The newest lines of output, oldest first."""
    log_file: str | None = None
    """Path of the output; empty if there is none, None if not checked."""
    raw_alone: bool = False
    """Whether the output is only in the attempt's folder, because the job's log could not be
    written."""


class UnloggedEnd(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an attempt ended that the log still shows as running, because its runner has stopped.

    `how` is empty if the attempt has a complete record; else it describes what is known.
    """

    how: str = ""
    seconds: float = 0.0
    """How long the attempt ran."""
    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False


TroubleKind = Literal["log", "disk", "start", "lease", "upload", "checkpoint", "restore", "replica"]
"""The failing operation: writing the event log, disk access, starting a job, renewing the lease,
uploading files or a checkpoint, restoring results, replicating the log."""


class Trouble(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An operation that currently fails, which the runner retries."""

    kind: TroubleKind
    since: datetime
    what: str
    why: str = ""
    hint: str = ""
    """What the user can do about it."""
    holds: bool = False
    """Whether it keeps ready jobs from starting."""

    @property
    def text(self) -> str:
        """What fails and why, without the hint."""
        return f"{self.what}: {self.why}" if self.why else self.what


class Replica(Struct, frozen=True, kw_only=True):
    """The state of the log's copy in the object store, as the runner last reported it."""

    location: str
    behind: int = 0
    """Number of events that are not known to be in the copy."""
    since: datetime | None = None
    """When the first of them happened; if there is none, when the store began to fail."""
    trouble: str = ""
    """Why replication fails."""
    fence: bool = True
    """Whether the store supports conditional writes."""


class ReplicaSource(Struct, frozen=True, kw_only=True):
    """The source of a report about another machine's queue: the log's copy in the object store."""

    location: str
    events: int
    last_at: datetime | None
    """When the newest event happened; None if there is none."""
    read_at: datetime | None = None
    """When the copy was read."""
    lease_renewed_at: datetime | None = None
    """When a runner last renewed or handed back its lease; None if there is no lease."""
    handed_back: bool = False
    """Whether the runner handed back its lease."""
    boot_log: tuple[str, ...] = ()
    """The last lines of the instance's bootstrap, if it failed."""

    @property
    def age(self) -> float | None:
        """Seconds between the last sign of life and the time of reading; None if unknown."""
        heard = [each for each in (self.last_at, self.lease_renewed_at) if each is not None]
        if not heard or self.read_at is None:
            return None
        return max(0.0, (self.read_at - max(heard)).total_seconds())

    @property
    def booting(self) -> bool:
        """Whether the queue was submitted but its log has no event yet."""
        return not self.events


class JobReport(Struct, frozen=True, kw_only=True):
    """One job."""

    config: JobConfig
    status: str
    attempts: int
    """Budget used, including a running or completed attempt."""
    max_attempts: int
    attempt: int
    """Number of the newest attempt over the job's life; 0 before the first."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    elapsed: float | None = None
    """Seconds since the start of a running attempt."""
    duration: float | None = None
    """Duration of the newest attempt that has ended; None if unknown."""
    unlogged_end: str = ""
    """How the attempt of a running job ended, in words, if its end is not in the log. The other
    fields are then those of an attempt that has ended."""
    timeout_remaining: float | None = None
    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False
    pid: int = 0
    blocked_by: tuple[str, ...] = ()
    """The failed job that blocks a blocked job; the jobs that a pending job still waits for."""
    retry_at: datetime | None = None
    retry_in: float | None = None
    why: str = ""
    last_lines: tuple[str, ...] = ()
    log_file: str = ""
    progress: Progress | None = None
    time_remaining: float | None = None
    recent: tuple[str, ...] = ()
    results: str = ""
    """For a completed job with `result_files`: `saving`, `delayed`, `saved` or `failed`."""

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.config.job_id


class Target(Struct, frozen=True):
    """A target as the user gave it: a queue id or an instance id, and the value of `--queue`.

    `str()` gives the arguments of a suggested command.
    """

    name: str
    queue: str = ""

    def __str__(self) -> str:
        return f"{self.name} --queue {self.queue}" if self.queue else self.name


class Report(Struct, frozen=True, kw_only=True):
    """A queue."""

    queue_id: str
    queue_name: str | None
    instance_id: str
    status: str
    reason: str
    """Why the queue failed or was interrupted, in words; else empty."""
    as_of: datetime
    submitted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    elapsed: float
    counts: dict[str, int]
    jobs: tuple[JobReport, ...]
    results_location: str
    next_job: str | None = None
    next_after: tuple[str, ...] = ()
    """The running jobs that the next one waits for."""
    estimated_completion: datetime | None = None
    estimated_without: tuple[str, ...] = ()
    """Jobs that the estimate does not include, because their duration is unknown."""
    runner_alive: bool | None = None
    """Whether the queue has a runner; None if not checked."""
    replica: Replica | None = None
    """Set only if replication fails or lags."""
    troubles: tuple[Trouble, ...] = ()
    """The runner's current troubles."""
    warnings: tuple[str, ...] = ()
    lost_events: int = 0
    """Number of newest events that this machine's log has lost."""
    is_past: bool = False
    """Whether the user chose a time in the past with `--at`."""
    origin: ReplicaSource | None = None
    """The source, if that is not this machine's own log."""
    target: Target | None = None
    """The target that the user gave, for hints; None if it is the queue's id."""
    target_can_resume: bool = False
    """Whether the target is a machine that can resume the queue, although its log was read from S3.
    """

    @property
    def ended(self) -> bool:
        """Whether the queue is completed or failed."""
        return self.status in ("completed", "failed")

    @property
    def resume(self) -> str:
        """The command that resumes the queue, as a sentence without a full stop."""
        if self.origin is None or self.target_can_resume:
            return f"`spawn queue resume {self.target or self.queue_id}` resumes it"
        text = f"`spawn queue resume {self.queue_id} --from-s3` resumes it"
        if self.counts["running"] and not self.origin.handed_back:
            text += ", and needs `--force` unless EC2 reports that its machine is gone"
        return text
