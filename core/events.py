"""The events: immutable facts in the past tense, each with an explicit name and version.

An event's `data` is one of the structs below. Its name is the class's name as `TYPES` spells it
out; a class may be renamed, the name in the log never. `VERSION` grows when a reader of the old
shape would be wrong about the new one; `core.upcast` then learns to lift the old shape.

Times are UTC RFC 3339 with microseconds, durations seconds, sizes bytes.
Source: the event table in `ARCHITECTURE.md`.
"""

from typing import ClassVar, Generic, Literal, TypeVar

from msgspec import Struct

from spawn.core.config.model import JobConfig, QueueConfig

InterruptCause = Literal["stop", "spot", "fenced", "host", "lost", "never_began"]
QueueFailure = Literal["jobs", "results", "cancelled", "global_timeout"]
QueueInterruption = Literal["signal", "spot", "ttl", "fenced"]
ResetReason = Literal["retry", "results_lost"]


class Data(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one kind of event says."""

    VERSION: ClassVar[int] = 1


D = TypeVar("D", bound=Data)


class Event(Struct, Generic[D], frozen=True, kw_only=True, omit_defaults=True):
    """One line of the log.

    `seq` counts from 1; `epoch` is how many runners have owned the queue; `note` marks an event
    that changes no state, so that a reader may skip one whose type it does not know.
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
    """An event that is decided but not yet written: the log adds seq, epoch and time."""

    data: Data
    job_id: str | None = None
    attempt: int | None = None


class QueueSubmitted(Data, frozen=True, kw_only=True):
    """The validated configuration. Jobs that one line cannot hold follow as `JobsSubmitted`."""

    config: QueueConfig
    jobs_total: int
    config_sha256: str
    file: str
    file_sha256: str
    version: str


class JobsSubmitted(Data, frozen=True, kw_only=True):
    """More jobs of the configuration before it, in the file's order."""

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
    """A name for the machine and the folder: attempts of this epoch may be alive only there."""
    fence: bool = True
    """Whether the object store honours conditional writes: else two owners are not kept apart."""


class QueueResumed(QueueStarted, frozen=True, kw_only=True):
    """Another runner owns the queue: the next epoch.

    `owned_seconds`: how long the runner of the epoch before owned it, as far as that is known of
    one that died without a word. None: the stamps tell, as in logs of before this field.
    `died`: how that runner died, such as `signal SIGKILL`, where its guardian started this one.
    """

    owned_seconds: float | None = None
    died: str = ""


class JobStarted(Data, frozen=True, kw_only=True):
    """An attempt is durable; its command runs only after this. `pid` is the command's.

    `pid` 0: the command could not even be prepared, and never ran. `log_file` is the job's
    combined log, in which this attempt begins at `log_offset`, bytes.
    """

    token: str
    pid: int
    folder: str
    log_file: str
    log_offset: int = 0


class Outcome(Data, frozen=True, kw_only=True):
    """How an attempt ended, as its supervisor saw it. `signal` is a name such as `SIGKILL`.

    `ended_at`: when the command ended, which a runner may record later: `wall_seconds` after its
    start. Empty: the event's own time, as in logs of before this field.

    `unended` are processes of the attempt that are another user's: they could not be ended, and
    may live on.
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
    """The manifest of an attempt's result files, in short."""

    files: int
    size: int
    sha256: str


class JobCompleted(Outcome, frozen=True, kw_only=True):
    """The command ended with exit code 0 and nobody had stopped it."""

    results: Results | None = None


class JobRetryScheduled(Outcome, frozen=True, kw_only=True):
    """The attempt failed and the job's budget allows another."""

    why: str = ""
    delay: float = 0.0
    retry_at: str = ""
    last_lines: tuple[str, ...] = ()


class JobFailed(Outcome, frozen=True, kw_only=True):
    """The attempt failed, and why there is no other."""

    why: str = ""
    last_lines: tuple[str, ...] = ()


class JobInterrupted(Outcome, frozen=True, kw_only=True):
    """The attempt ended through no fault of the job; it spends no budget."""

    cause: InterruptCause
    detail: str = ""


class JobBlocked(Data, frozen=True, kw_only=True):
    """A job that this one depends on has failed."""

    by: str


class JobUnblocked(Data, frozen=True, kw_only=True):
    """The failed job that this one waited for was reset."""

    by: str


class JobReset(Data, frozen=True, kw_only=True):
    """The job is tried again with a fresh budget."""

    reason: ResetReason
    by: str
    request: str = ""
    """The id of the request that asked for it, if one did."""


class ResultsUploaded(Data, frozen=True, kw_only=True):
    """Every result file of the attempt is in the object store. `left_out` names what is in its
    result folders and is not kept, each with the reason."""

    files: int
    size: int
    key: str
    sha256: str
    unmatched: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class ResultsDelayed(Data, frozen=True, kw_only=True):
    """The object store has failed for `upload_wait`: what depends on the job waits no longer for
    its results to be there. They are still on their way."""

    error: str


class ResultsUploadFailed(Data, frozen=True, kw_only=True):
    """Some result file is not in the object store, and will not be without help."""

    error: str
    unmatched: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class OutputNotSaved(Data, frozen=True, kw_only=True):
    """A note: an attempt's output, or the facts of it, are not in the object store, and will not be
    before another runner tries."""

    error: str


class OutputSaved(Data, frozen=True, kw_only=True):
    """A note: what an `OutputNotSaved` spoke of is in the object store now."""


class ResultsNotPutBack(Data, frozen=True, kw_only=True):
    """A note: results that a job needs here cannot be brought to this machine for now. What needs
    them waits, and it is tried again."""

    error: str


class ResultsPutBack(Data, frozen=True, kw_only=True):
    """A note: results that were made on another machine are on this one, where their job had left
    them. `files`: how many had to be brought."""

    files: int


class CheckpointSaved(Data, frozen=True, kw_only=True):
    """A note: what an attempt that was stopped had left of its job's result files is in the object
    store. `key` and `sha256` are those of its list. The job's next attempt finds the files, also on
    another machine; without them it would only begin further back. `left_out`: see
    `ResultsUploaded`."""

    files: int
    size: int
    key: str
    sha256: str
    left_out: tuple[str, ...] = ()


class CheckpointNotSaved(Data, frozen=True, kw_only=True):
    """A note: the files of an attempt that was stopped are on its machine alone."""

    error: str


class CheckpointPutBack(Data, frozen=True, kw_only=True):
    """A note: the files of a checkpoint that was made on another machine are on this one; `files`:
    how many had to be brought. `error`: or they never will be, and the job begins without them."""

    files: int = 0
    error: str = ""


class MachineKept(Data, frozen=True, kw_only=True):
    """A note: the machine was to be powered off when the queue ended, and was not: why."""

    why: str


class QueueReconfigured(Data, frozen=True, kw_only=True):
    """A new configuration from here on; completed jobs keep."""

    config: QueueConfig
    jobs_total: int
    config_sha256: str
    changes: tuple[str, ...]


class EpochEnd(Data, frozen=True, kw_only=True):
    """The runner lets the queue go.

    `owned_seconds`: how long it owned the queue, by a clock that never jumps. None: the stamps
    tell, as in logs of before this field.
    """

    owned_seconds: float | None = None


class QueueInterrupted(EpochEnd, frozen=True, kw_only=True):
    """The runner stopped before the end."""

    cause: QueueInterruption
    detail: str = ""


class QueueCompleted(EpochEnd, frozen=True, kw_only=True):
    """Every job completed, and what was promised is kept."""


class QueueFailed(EpochEnd, frozen=True, kw_only=True):
    """The end, without every job completed."""

    reason: QueueFailure
    detail: str = ""


class RequestRefused(Data, frozen=True, kw_only=True):
    """A note: a request to the runner that it could not follow."""

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


def seal(draft: Draft, *, seq: int, queue_id: str, epoch: int, at: str) -> Event[Data]:
    """Give a draft its place in the log."""
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
