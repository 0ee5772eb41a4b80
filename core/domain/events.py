"""The event types: immutable facts in the past tense, each with an explicit name and version.

An event's `data` is one of the structs below. `TYPES` maps the name in the log to the class; a
class may be renamed, but its name in the log never changes. `VERSION` increases when a reader of
the old shape would misread the new one; `core.upcast` then gets a conversion.

Times are UTC RFC 3339 with microseconds, durations seconds, sizes bytes.
`docs/events.md` is generated from this module.
"""

from typing import ClassVar, Generic, Literal, TypeVar

from msgspec import Struct

from spawn.core.config.model import JobConfig, QueueConfig

InterruptCause = Literal["stop", "spot", "fenced", "host", "lost", "never_began"]
QueueFailure = Literal["jobs", "results", "cancelled", "global_timeout"]
QueueInterruption = Literal["signal", "spot", "ttl", "fenced"]
ResetReason = Literal["retry", "results_lost"]


class Data(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base class of the event data."""

    VERSION: ClassVar[int] = 1


D = TypeVar("D", bound=Data)


class Event(Struct, Generic[D], frozen=True, kw_only=True, omit_defaults=True):
    """One line of the log.

    `seq` counts from 1; `epoch` is the number of runners that have owned the queue; `note` marks an
    event that changes no state, which a reader may skip if it does not know the type.
    """

    seq: int
    queue_id: str
    type: str
    v: int
    at: str
    epoch: int
    data: D
    job_id: str | None = None
    attempt: int | None = None
    note: bool = False


class Draft(Struct, frozen=True):
    """An event that is not written yet: the log adds seq, epoch and time."""

    data: Data
    job_id: str | None = None
    attempt: int | None = None


class QueueSubmitted(Data, frozen=True, kw_only=True):
    """The validated configuration. Jobs that do not fit into one line follow as `JobsSubmitted`."""

    config: QueueConfig
    jobs_total: int
    config_sha256: str
    file: str
    file_sha256: str
    version: str


class JobsSubmitted(Data, frozen=True, kw_only=True):
    """More jobs of the preceding configuration, in file order."""

    jobs: tuple[JobConfig, ...]


class QueueStarted(Data, frozen=True, kw_only=True):
    """A runner owns the queue for the first time."""

    instance_id: str
    hostname: str
    boot_id: str
    version: str
    owner: str
    pid: int
    results_location: str
    region: str | None = None
    ssh_host_keys: tuple[str, ...] = ()
    place: str = ""
    """Identifies machine and folder: attempts of this epoch can only be alive there."""
    fence: bool = True
    """Whether the object store supports conditional writes. Without them, a second owner is not
    fenced."""


class QueueResumed(QueueStarted, frozen=True, kw_only=True):
    """Another runner owns the queue, in the next epoch.

    `owned_seconds`: how long the previous runner owned the queue, if it died without an event.
    None: derived from the stamps, as in logs written before this field existed.
    `died`: how the previous runner died, such as `signal SIGKILL`, if its guardian started this
    one.
    """

    owned_seconds: float | None = None
    died: str = ""


class JobStarted(Data, frozen=True, kw_only=True):
    """An attempt was recorded; its command starts only after the commit. `pid` is the command's.

    `pid` 0: the command could not be prepared and never ran. `log_file` is the job's combined
    log, in which this attempt begins at byte `log_offset`.
    """

    token: str
    pid: int
    folder: str
    log_file: str
    log_offset: int = 0


class Outcome(Data, frozen=True, kw_only=True):
    """How an attempt ended, as recorded by its supervisor. `signal` is a name such as `SIGKILL`.

    `ended_at`: when the command ended (its start plus `wall_seconds`), which may be earlier than
    the event. Empty: the event's time, as in logs written before this field existed.

    `unended`: PIDs of the attempt that belong to another user, could not be ended and may still
    run.
    """

    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    output_dropped_bytes: int = 0
    unended: tuple[int, ...] = ()
    ended_at: str = ""


class Results(Struct, frozen=True, kw_only=True):
    """A summary of the manifest of an attempt's result files."""

    files: int
    size: int
    sha256: str


class JobCompleted(Outcome, frozen=True, kw_only=True):
    """The command ended with exit code 0 and was not stopped."""

    results: Results | None = None


class JobRetryScheduled(Outcome, frozen=True, kw_only=True):
    """The attempt failed and the job's budget allows another."""

    why: str = ""
    delay: float = 0.0
    retry_at: str = ""
    last_lines: tuple[str, ...] = ()


class JobFailed(Outcome, frozen=True, kw_only=True):
    """The attempt failed and is not retried; `why` gives the reason."""

    why: str = ""
    last_lines: tuple[str, ...] = ()


class JobInterrupted(Outcome, frozen=True, kw_only=True):
    """The attempt ended through no fault of the job and does not count against its budget."""

    cause: InterruptCause
    detail: str = ""


class JobBlocked(Data, frozen=True, kw_only=True):
    """A job that this one depends on has failed."""

    by: str


class JobUnblocked(Data, frozen=True, kw_only=True):
    """The failed job that blocked this one was reset."""

    by: str


class JobReset(Data, frozen=True, kw_only=True):
    """The job runs again with a fresh budget."""

    reason: ResetReason
    by: str
    request: str = ""
    """The id of the request for this reset, if any."""


class ResultsUploaded(Data, frozen=True, kw_only=True):
    """All result files of the attempt are in the object store. `left_out` lists the contents of
    result folders that are not kept, with the reason."""

    files: int
    size: int
    key: str
    sha256: str
    unmatched: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class ResultsDelayed(Data, frozen=True, kw_only=True):
    """The upload has failed for `upload_wait`, so dependents no longer wait for it. It is still
    retried."""

    error: str


class ResultsUploadFailed(Data, frozen=True, kw_only=True):
    """A result file could not be uploaded, and the runner gave up."""

    error: str
    unmatched: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class OutputNotSaved(Data, frozen=True, kw_only=True):
    """A note: an attempt's output or metadata could not be uploaded. The next runner retries."""

    error: str


class OutputSaved(Data, frozen=True, kw_only=True):
    """A note: the output of an earlier `OutputNotSaved` is now in the object store."""


class ResultsNotPutBack(Data, frozen=True, kw_only=True):
    """A note: results cannot be restored on this machine yet. Jobs that need them wait, and the
    runner retries."""

    error: str


class ResultsPutBack(Data, frozen=True, kw_only=True):
    """A note: results from another machine were restored at their original paths. `files`: how
    many were downloaded."""

    files: int


class CheckpointSaved(Data, frozen=True, kw_only=True):
    """A note: the result files of a stopped attempt are in the object store. `key` and `sha256` are
    those of the list of files. The job's next attempt finds the files, also on another machine.
    `left_out` is as in `ResultsUploaded`."""

    files: int
    size: int
    key: str
    sha256: str
    left_out: tuple[str, ...] = ()


class CheckpointNotSaved(Data, frozen=True, kw_only=True):
    """A note: the result files of a stopped attempt are only on its machine."""

    error: str


class CheckpointPutBack(Data, frozen=True, kw_only=True):
    """A note: the files of a checkpoint from another machine were restored; `files`: how many were
    downloaded. `error`: why they cannot be restored, so that the job starts without them."""

    files: int = 0
    error: str = ""


class MachineKept(Data, frozen=True, kw_only=True):
    """A note: the configured power-off at the end of the queue did not happen, and why."""

    why: str


class QueueReconfigured(Data, frozen=True, kw_only=True):
    """A new configuration applies from here on; completed jobs stay completed."""

    config: QueueConfig
    jobs_total: int
    config_sha256: str
    changes: tuple[str, ...]


class EpochEnd(Data, frozen=True, kw_only=True):
    """The runner gives up ownership of the queue.

    `owned_seconds`: how long it owned the queue, by a monotonic clock. None: derived from the
    stamps, as in logs written before this field existed.
    """

    owned_seconds: float | None = None


class QueueInterrupted(EpochEnd, frozen=True, kw_only=True):
    """The runner stopped before the end."""

    cause: QueueInterruption
    detail: str = ""


class QueueCompleted(EpochEnd, frozen=True, kw_only=True):
    """All jobs completed and all results are uploaded."""


class QueueFailed(EpochEnd, frozen=True, kw_only=True):
    """The queue ended with failed jobs, missing results or unfinished jobs."""

    reason: QueueFailure
    detail: str = ""


class RequestRefused(Data, frozen=True, kw_only=True):
    """A note: the runner rejected a request."""

    request: str
    why: str


AnyData = (
    JobStarted
    | JobCompleted
    | JobRetryScheduled
    | JobFailed
    | JobInterrupted
    | JobBlocked
    | JobUnblocked
    | JobReset
    | ResultsUploaded
    | ResultsDelayed
    | ResultsUploadFailed
    | QueueSubmitted
    | JobsSubmitted
    | QueueStarted
    | QueueResumed
    | QueueReconfigured
    | QueueInterrupted
    | QueueCompleted
    | QueueFailed
    | RequestRefused
    | OutputNotSaved
    | OutputSaved
    | ResultsNotPutBack
    | ResultsPutBack
    | CheckpointSaved
    | CheckpointNotSaved
    | CheckpointPutBack
    | MachineKept
)

TYPES: dict[str, type[Data]] = {
    "QueueSubmitted": QueueSubmitted,
    "JobsSubmitted": JobsSubmitted,
    "QueueStarted": QueueStarted,
    "QueueResumed": QueueResumed,
    "JobStarted": JobStarted,
    "JobCompleted": JobCompleted,
    "JobRetryScheduled": JobRetryScheduled,
    "JobFailed": JobFailed,
    "JobInterrupted": JobInterrupted,
    "JobBlocked": JobBlocked,
    "JobUnblocked": JobUnblocked,
    "JobReset": JobReset,
    "ResultsUploaded": ResultsUploaded,
    "ResultsDelayed": ResultsDelayed,
    "ResultsUploadFailed": ResultsUploadFailed,
    "QueueReconfigured": QueueReconfigured,
    "QueueInterrupted": QueueInterrupted,
    "QueueCompleted": QueueCompleted,
    "QueueFailed": QueueFailed,
    "RequestRefused": RequestRefused,
    "OutputNotSaved": OutputNotSaved,
    "OutputSaved": OutputSaved,
    "ResultsNotPutBack": ResultsNotPutBack,
    "ResultsPutBack": ResultsPutBack,
    "CheckpointSaved": CheckpointSaved,
    "CheckpointNotSaved": CheckpointNotSaved,
    "CheckpointPutBack": CheckpointPutBack,
    "MachineKept": MachineKept,
}
NAMES: dict[type[Data], str] = {cls: name for name, cls in TYPES.items()}
NOTES = frozenset(
    {
        *("RequestRefused", "OutputNotSaved", "OutputSaved", "ResultsNotPutBack", "ResultsPutBack"),
        *("CheckpointSaved", "CheckpointNotSaved", "CheckpointPutBack", "MachineKept"),
    }
)


def to_event(draft: Draft, *, seq: int, queue_id: str, epoch: int, at: str) -> Event[Data]:
    """Make an event of a draft."""
    name = NAMES[type(draft.data)]
    return Event(
        seq=seq,
        queue_id=queue_id,
        type=name,
        v=draft.data.VERSION,
        at=at,
        epoch=epoch,
        data=draft.data,
        job_id=draft.job_id,
        attempt=draft.attempt,
        note=name in NOTES,
    )
