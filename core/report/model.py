"""The report: a queue at a moment, ready to be shown. Moments have a time zone, durations are
seconds."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from spawn.core.config.model import JobConfig
from spawn.core.report.progress import Progress


class Live(Struct, frozen=True, kw_only=True):
    """What the machine knows of a job beyond the log. None of it is state."""

    progress: Progress | None = None
    recent: tuple[str, ...] = ()
    """The newest lines of output, oldest first."""
    log_file: str | None = None
    """Where its output can be read; empty for nowhere, None where nobody has looked."""
    raw_alone: bool = False
    """Whether that is the attempt's folder, as the job's log could not be written."""


class Ending(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an attempt ended that the log still has as running, because no runner has noticed.

    `how` is empty where its record has the end; else it says what is known instead.
    """

    how: str = ""
    seconds: float = 0.0
    """How long it ran."""
    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False


TroubleKind = Literal["log", "disk", "start", "lease", "upload", "checkpoint", "restore", "replica"]
"""What fails: writing the event log, the disk, starting a job, renewing the lease, copying files or
a checkpoint to the object store, restoring results from there, copying the log there."""


class Trouble(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What keeps a runner from its work at present; it tries again."""

    kind: TroubleKind
    since: datetime
    what: str
    why: str = ""
    hint: str = ""
    """What a user can do about it."""
    holds: bool = False
    """Whether jobs that are ready cannot start because of it."""

    @property
    def text(self) -> str:
        """What fails and why, without the hint."""
        return f"{self.what}: {self.why}" if self.why else self.what


class Replica(Struct, frozen=True, kw_only=True):
    """How far the log's copy in the object store is, for all its runner has said."""

    location: str
    behind: int = 0
    """How many events are not there for certain."""
    since: datetime | None = None
    """When the first of them happened; where there is none, when the store began to fail."""
    trouble: str = ""
    """Why it does not get on."""
    fence: bool = True
    """Whether the store honours conditional writes."""


class Origin(Struct, frozen=True, kw_only=True):
    """What a report of a queue on another machine rests on: the log's copy in the object store."""

    location: str
    events: int
    last_at: datetime | None
    """When the newest of them happened; None where there is none yet."""
    looked_at: datetime | None = None
    """When the copy was read."""
    heard_at: datetime | None = None
    """When a runner last said that it owns the queue; None when none ever did."""
    handed_back: bool = False
    """Whether it said then that it owns it no more."""
    boot_log: tuple[str, ...] = ()
    """The end of what the bootstrap of its instance printed, which has failed."""

    @property
    def age(self) -> float | None:
        """Seconds since anything was heard of the queue, as of when it was read."""
        heard = [each for each in (self.last_at, self.heard_at) if each is not None]
        if not heard or self.looked_at is None:
            return None
        return max(0.0, (self.looked_at - max(heard)).total_seconds())

    @property
    def booting(self) -> bool:
        """Whether the queue was submitted, and its log has nothing yet."""
        return not self.events


class JobReport(Struct, frozen=True, kw_only=True):
    """One job."""

    config: JobConfig
    status: str
    attempts: int
    """Budget spent, an attempt that runs or completed included."""
    max_attempts: int
    attempt: int
    """Life number of the newest attempt; 0 before the first."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    elapsed: float | None = None
    """Since the start of an attempt that runs."""
    duration: float | None = None
    """Of the newest attempt that has ended; None where that is not known."""
    unnoticed: str = ""
    """Of a running job whose attempt is over, as no runner has noticed: how it ended, in words. The
    other fields are then those of an attempt that has ended."""
    timeout_remaining: float | None = None
    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False
    pid: int = 0
    blocked_by: tuple[str, ...] = ()
    """For a blocked job the failed one; for a pending one the jobs it still waits for."""
    retry_at: datetime | None = None
    retry_in: float | None = None
    why: str = ""
    last_lines: tuple[str, ...] = ()
    log_file: str = ""
    progress: Progress | None = None
    time_remaining: float | None = None
    recent: tuple[str, ...] = ()
    results: str = ""
    """Of a completed job that promises some: `saving`, `delayed`, `saved` or `failed`; else empty.
    """

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.config.job_id


class Report(Struct, frozen=True, kw_only=True):
    """A whole queue."""

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
    """Jobs whose time is not in the estimate, because nothing tells how long they take."""
    runner_alive: bool | None = None
    """Whether a runner holds the queue; None when that was not asked."""
    replica: Replica | None = None
    """Where it has something to tell."""
    troubles: tuple[Trouble, ...] = ()
    """What keeps its runner from its work at present."""
    warnings: tuple[str, ...] = ()
    lost: int = 0
    """How many of its newest events this machine's log has lost."""
    past: bool = False
    """Whether it tells of a moment before now, which a user has named."""
    origin: Origin | None = None
    """What it rests on, if that is not this machine's own log."""
    target: str = ""
    """What it was asked for by, for the next command, where that is not the queue's id."""
    there: bool = False
    """Whether that names a machine which can be told to go on, though its log was read from S3."""

    @property
    def ended(self) -> bool:
        """Whether the queue has reached its end."""
        return self.status in ("completed", "failed")

    @property
    def resume(self) -> str:
        """What goes on with it, as a sentence without an end."""
        if self.origin is None or self.there:
            return f"`spawn queue resume {self.target or self.queue_id}` goes on with it"
        said = f"`spawn queue resume {self.queue_id} --from-s3` goes on with it"
        if self.counts["running"] and not self.origin.handed_back:
            said += ", and needs `--force` unless EC2 says that its machine is gone"
        return said
