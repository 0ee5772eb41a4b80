"""Ports of the loop, with the contract of each, and what they report."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from spawn.core.config.model import JobConfig
from spawn.core.domain.attempt_exit import AttemptExit, StopCause
from spawn.core.domain.events import CheckpointSaved, Results, ResultsUploaded, ResultsUploadFailed
from spawn.core.domain.state import JobState
from spawn.core.errors import SpawnError
from spawn.store.queue_dir.requests import Request, UnreadableRequest


class Prepared(Struct, frozen=True):
    """An attempt whose command is held at the gate."""

    token: str
    pid: int
    folder: str
    log_file: str
    log_offset: int


class Ended(Struct, frozen=True):
    """An attempt is over; `exit` is None if it left no record. `unended` are then the pids of its
    processes that belong to another user and could not be killed."""

    token: str
    exit: AttemptExit | None
    unended: tuple[int, ...] = ()


class ResultsListed(Struct, frozen=True):
    """The result files of an attempt are listed; `results` is None if that failed."""

    token: str
    results: Results | None


class UploadEnded(Struct, frozen=True):
    """The upload of an attempt's files is over; `outcome` is None if no results were promised.
    `unsaved` is why its output is not in the store; empty if it is."""

    token: str
    outcome: ResultsUploaded | ResultsUploadFailed | None
    unsaved: str = ""


class UploadRetrying(Struct, frozen=True):
    """An upload is being retried since `since`, by the monotonic clock; None once it makes progress
    again. `refused`: the error is not an outage, so that the upload soon ends."""

    token: str
    since: float | None
    why: str = ""
    refused: bool = False


class ResultsRestored(Struct, frozen=True):
    """A completed job's results are restored to their paths; `gone` is why they never can be."""

    job_id: str
    token: str
    gone: str = ""
    files: int = 0
    """How many were downloaded."""


class RestoreRetrying(Struct, frozen=True):
    """Restoring results or a checkpoint is being retried."""

    job_id: str
    why: str


class CheckpointUploaded(Struct, frozen=True):
    """The upload of a stopped attempt's checkpoint is over. `saved` is None if the attempt left no
    files, or if the upload failed for the reason in `why`."""

    token: str
    saved: CheckpointSaved | None
    why: str = ""


class CheckpointRetrying(Struct, frozen=True):
    """The upload of a checkpoint is being retried; `why` is empty once it makes progress again."""

    token: str
    why: str


class CheckpointRestored(Struct, frozen=True):
    """A job's checkpoint is restored to its paths; `gone` is why it never can be."""

    job_id: str
    token: str
    gone: str = ""
    files: int = 0
    """How many were downloaded."""


class SpotNotice(Struct, frozen=True):
    """EC2 interrupts the instance at `at`; `action` is what EC2 does with it."""

    action: str
    at: datetime


class Signalled(Struct, frozen=True):
    """A signal asks the runner to stop."""

    number: int


class Requested(Struct, frozen=True):
    """A client has sent a request to the runner."""

    request: Request | UnreadableRequest


class Shipped(Struct, frozen=True):
    """Every event up to this seq is in the object store."""

    seq: int


class OwnershipConfirmed(Struct, frozen=True):
    """This runner still owns the queue, or the store cannot tell."""


class Renewed(Struct, frozen=True):
    """The lease in the object store names this runner, and was written at `at` or later, by the
    monotonic clock."""

    at: float


class ReplicatorEnded(Struct, frozen=True):
    """The replicator has ended."""


class FencedOff(Struct, frozen=True):
    """Another runner owns the queue; `why` names it and the evidence."""

    why: str


class LogRemoved(Struct, frozen=True):
    """The queue's folder or log was removed or replaced."""

    why: str


LoopMessage = (
    Ended
    | ResultsListed
    | UploadEnded
    | UploadRetrying
    | ResultsRestored
    | RestoreRetrying
    | CheckpointUploaded
    | CheckpointRetrying
    | CheckpointRestored
    | SpotNotice
    | Signalled
    | Requested
    | Shipped
    | OwnershipConfirmed
    | Renewed
    | FencedOff
    | ReplicatorEnded
    | LogRemoved
)


class CannotPrepare(SpawnError):
    """An attempt cannot be prepared now; the job is not the cause. None of its processes runs."""


class CannotStart(SpawnError):
    """An attempt can never start, because of the job itself. None of its processes runs."""


class Clock(Protocol):
    """`wall` is for the log, `monotonic` for every wait."""

    def wall(self) -> datetime:
        """The current time, with a time zone; it may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds; they never go back."""
        ...


class Launcher(Protocol):
    """Starts and ends attempts. Posts exactly one `Ended` for each prepared or adopted attempt."""

    def prepare(self, job: JobState, attempt: int) -> Prepared:
        """Hold an attempt's command at the gate; it is executed only after `go`.

        Raises:
            CannotPrepare: A later try may succeed.
            CannotBegin: A later try would fail as well.
        """
        ...

    def foresee(self, job: JobState, attempt: int) -> None:
        """Announce that `prepare` may follow for this attempt. A hint: never fails."""
        ...

    def open_gate(self, token: str) -> None:
        """Open the gate. Call this only once the attempt's `JobStarted` is durable."""
        ...

    def abandon(self, token: str) -> None:
        """Drop a prepared attempt: its command never runs, and no `Ended` follows."""
        ...

    def ran_here(self, job: JobState) -> bool:
        """Whether the job's newest attempt was started on this machine, by any runner."""
        ...

    def adopt(self, job: JobState) -> None:
        """Adopt an attempt that an earlier runner started; its `Ended` follows."""
        ...

    def warn(self, token: str, deadline: str) -> None:
        """Write the deadline to the file that an attempt's `SPAWN_INTERRUPTION_FILE` names.

        Args:
            deadline: When the attempt must have ended, RFC 3339.

        Raises:
            OSError: The file cannot be written.
        """
        ...

    def stop(self, token: str, cause: StopCause, grace: float) -> None:
        """Stop an attempt: SIGTERM, then SIGKILL after `grace` seconds. May be repeated."""
        ...


class Publisher(Protocol):
    """Lists result files, and uploads and restores attempts' files, in the background.

    Temporary failures are retried without limit, unless a method says otherwise.
    """

    def list_results(self, token: str, job: JobConfig, folder: str) -> None:
        """List the results and make them durable; a `ResultsListed` follows."""
        ...

    def upload(self, token: str, job: JobState, *, last: bool = False) -> None:
        """Upload the attempt's files; a `UploadEnded` follows. May be repeated after a crash.

        Temporary failures are retried until `give_up`, and reported by `UploadRetrying`.

        Args:
            last: Whether to try an upload that the store refuses only once.
        """
        ...

    def upload_output(self, token: str, job: JobState) -> None:
        """Upload the output of a running attempt from time to time, until `publish`."""
        ...

    def restore_results(self, job: JobState, as_of: str) -> None:
        """Restore a completed job's results to their paths; a `ResultsRestored` follows.

        Temporary failures are reported by `RestoreRetrying`.

        Args:
            as_of: Time of the results. A file restored from later results is not overwritten.
        """
        ...

    def has_restored(self, job: JobState) -> bool:
        """Whether this or an earlier runner has restored a job's results on this machine, and no
        job that it depends on was reset since."""
        ...

    def save_checkpoint(self, token: str, job: JobState) -> None:
        """Upload the result files that a stopped attempt has left; a `CheckpointUploaded` follows.

        Temporary failures are retried until `drop_checkpoints`; `CheckpointRetrying` reports them.
        """
        ...

    def drop_checkpoints(self) -> None:
        """Stop saving checkpoints; an incomplete one does not count."""
        ...

    def restore_checkpoint(self, job: JobState) -> None:
        """Restore a job's checkpoint to its paths; a `CheckpointRestored` follows. Fails like
        `restore_results`."""
        ...

    def give_up(self) -> None:
        """Stop retrying uploads; each then reports its failure by `UploadEnded`."""
        ...


class Replica(Protocol):
    """Keeps the log's copy in the object store, and renews the lease, in the background.

    Each renewal posts a `Renewed`.
    """

    def committed(self, seq: int) -> None:
        """Report that events up to this seq are durable in the log; a `Shipped` follows later."""
        ...

    def confirm(self) -> None:
        """Check whether this runner owns the queue; an `OwnershipConfirmed` or a `FencedOff`
        follows."""
        ...


class Waiter(Protocol):
    """Where the loop waits."""

    def wait(self, seconds: float | None) -> Iterable[LoopMessage]:
        """Return what has happened; may return nothing, at the latest after `seconds` if given."""
        ...
