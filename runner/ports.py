"""What the loop needs of the world, and what each part of it promises."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from spawn.core.config.model import JobConfig
from spawn.core.errors import SpawnError
from spawn.core.events import CheckpointSaved, Results, ResultsUploaded, ResultsUploadFailed
from spawn.core.exit import Exit, StopCause
from spawn.core.state import JobState
from spawn.store.requests import Request, Unreadable


class Prepared(Struct, frozen=True):
    """An attempt whose command waits at the gate."""

    token: str
    pid: int
    folder: str
    log_file: str
    log_offset: int


class Ended(Struct, frozen=True):
    """An attempt is over; `exit` is None when it left no record. `unended` are then those of its
    processes that are another user's, and could not be ended."""

    token: str
    exit: Exit | None
    unended: tuple[int, ...] = ()


class Collected(Struct, frozen=True):
    """The result files of an attempt are listed; `results` None when it promises none."""

    token: str
    results: Results | None


class Published(Struct, frozen=True):
    """An attempt's files are in the object store, or not; `outcome` None: it promised none.
    `unsaved` says why its output is not there."""

    token: str
    outcome: ResultsUploaded | ResultsUploadFailed | None
    unsaved: str = ""


class Troubled(Struct, frozen=True):
    """An attempt's files cannot be brought to the object store for now, `since` a moment of the
    monotonic clock; None: it gets on again."""

    token: str
    since: float | None
    why: str = ""


class PutBack(Struct, frozen=True):
    """The results of a completed job are where the job had left them; or `gone` says why they
    can never be."""

    job_id: str
    token: str
    gone: str = ""
    files: int = 0
    """How many had to be brought."""


class Hindered(Struct, frozen=True):
    """Results, or a checkpoint, cannot be put back for now; it is tried again."""

    job_id: str
    why: str


class Checkpointed(Struct, frozen=True):
    """What an attempt that was stopped had left is in the object store; `saved` None: it had left
    nothing, or `why` says what keeps it from there for good."""

    token: str
    saved: CheckpointSaved | None
    why: str = ""


class Faltering(Struct, frozen=True):
    """A checkpoint cannot be brought to the object store for now; `why` empty: it gets on again."""

    token: str
    why: str


class Returned(Struct, frozen=True):
    """A job's checkpoint is where its attempt had left it; or `gone` says why it can never be."""

    job_id: str
    token: str
    gone: str = ""
    files: int = 0
    """How many had to be brought."""


class Noticed(Struct, frozen=True):
    """EC2 takes the instance back at a moment, and does `action` then."""

    action: str
    at: datetime


class Signalled(Struct, frozen=True):
    """Somebody asks the runner to stop: the number of a signal."""

    number: int


class Requested(Struct, frozen=True):
    """Somebody asks something of the live runner."""

    request: Request | Unreadable


class Shipped(Struct, frozen=True):
    """Every event up to this seq is in the object store."""

    seq: int


class Confirmed(Struct, frozen=True):
    """The queue is still ours, or nobody can tell."""


class Renewed(Struct, frozen=True):
    """The lease is ours in the object store, and was written no earlier than `at`, by the monotonic
    clock."""

    at: float


class Drained(Struct, frozen=True):
    """The replicator has ended."""


class FencedOff(Struct, frozen=True):
    """Somebody else owns the queue: who, and how that is known."""

    why: str


class Removed(Struct, frozen=True):
    """The queue's folder or log is gone, or another one is in its place."""

    why: str


Happening = (
    Ended
    | Collected
    | Published
    | Troubled
    | PutBack
    | Hindered
    | Checkpointed
    | Faltering
    | Returned
    | Noticed
    | Signalled
    | Requested
    | Shipped
    | Confirmed
    | Renewed
    | FencedOff
    | Drained
    | Removed
)


class CannotPrepare(SpawnError):
    """An attempt cannot be prepared now, through no fault of the job. Nothing of it runs."""


class CannotBegin(SpawnError):
    """An attempt can never begin: the job itself is at fault. Nothing of it runs."""


class Clock(Protocol):
    """Time. `wall` is for the log, `monotonic` for every wait."""

    def wall(self) -> datetime:
        """The moment, with a time zone; it may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow."""
        ...


class Launcher(Protocol):
    """Starts and ends attempts. Each one it prepared or adopted ends in exactly one `Ended`."""

    def prepare(self, job: JobState, attempt: int) -> Prepared:
        """Bring an attempt's command to the gate; it is executed only after `go`.

        Raises:
            CannotPrepare: Try again later.
            CannotBegin: Trying again is of no use.
        """
        ...

    def foresee(self, job: JobState, attempt: int) -> None:
        """Take a hint: this attempt may be asked for soon. Never fails, and may do nothing."""
        ...

    def go(self, token: str) -> None:
        """Open the gate. The attempt's `JobStarted` is durable."""
        ...

    def abandon(self, token: str) -> None:
        """Drop a prepared attempt: its command never runs, and no `Ended` follows."""
        ...

    def holds(self, job: JobState) -> bool:
        """Whether an attempt was started here, by whichever runner."""
        ...

    def adopt(self, job: JobState) -> None:
        """Take up an attempt that an earlier runner started; its `Ended` follows."""
        ...

    def warn(self, token: str, deadline: str) -> None:
        """Tell an attempt's command the moment by which it must have ended, RFC 3339, in the file
        that it knows of.

        Raises:
            OSError: That cannot be written.
        """
        ...

    def stop(self, token: str, cause: StopCause, grace: float) -> None:
        """Ask for an attempt's end: TERM, after `grace` seconds KILL. May be repeated."""
        ...


class Publisher(Protocol):
    """Lists result files, and brings an attempt's files to the object store and back, in the
    background."""

    def collect(self, token: str, job: JobConfig, folder: str) -> None:
        """List the results and make them durable; a `Collected` follows."""
        ...

    def publish(self, token: str, job: JobState, *, last: bool = False) -> None:
        """Copy the attempt's files; a `Published` follows. May be repeated after a crash.

        What may pass is tried until it has, or until `give_up`; a `Troubled` tells of it.

        Args:
            last: Whether what is refused is tried once, not several times.
        """
        ...

    def follow(self, token: str, job: JobState) -> None:
        """Copy what an attempt prints while it runs, now and then, until it is published."""
        ...

    def put_back(self, job: JobState, as_of: str) -> None:
        """Bring a completed job's results to where it had left them; a `PutBack` follows.

        What may pass is tried until it has; a `Hindered` tells of it.

        Args:
            as_of: A file with the path of one whose results count as of a later moment is left.
        """
        ...

    def is_back(self, job: JobState) -> bool:
        """Whether `put_back` has restored a job's results on this machine, for this runner or an
        earlier one, and nothing that the job depends on was reset since."""
        ...

    def save_checkpoint(self, token: str, job: JobState) -> None:
        """Copy what an attempt that was stopped has left of its job's result files; a
        `Checkpointed` follows.

        What may pass is tried until it has, or until `drop_checkpoints`; a `Faltering` tells of it.
        """
        ...

    def drop_checkpoints(self) -> None:
        """Nobody waits for checkpoints any more; what is half there counts for nothing."""
        ...

    def return_checkpoint(self, job: JobState) -> None:
        """Bring a job's checkpoint to where its attempt had left it; a `Returned` follows. See
        `put_back`."""
        ...

    def give_up(self) -> None:
        """Try nothing again of what fails from now on; each `Published` then says so."""
        ...


class Replica(Protocol):
    """Keeps the log's copy in the object store, in the background."""

    def committed(self, seq: int) -> None:
        """Events up to this seq are durable here; a `Shipped` follows, sooner or later. Without
        being asked it renews the lease; a `Renewed` follows each time."""
        ...

    def confirm(self) -> None:
        """Ask whether the queue is still ours; a `Confirmed` or a `FencedOff` follows."""
        ...


class Waiter(Protocol):
    """Where the loop rests."""

    def wait(self, seconds: float | None) -> Iterable[Happening]:
        """Return what has happened, or nothing after `seconds` or sooner; None sets no end."""
        ...
