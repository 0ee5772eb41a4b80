"""The feed's answers, as JSON.

A reader ignores unknown fields and uses the default for missing ones, so new fields need no new
protocol. A change that an old reader would misread increases `PROTOCOL`. When the feed no longer
answers older readers, `OLDEST_PROTOCOL` increases. `Hello` never changes.
"""

from datetime import datetime

from msgspec import Struct

from spawn.core.reports.model import LiveData, Replica, Trouble, UnloggedEnd

SERVICE = "spawn-feed"
PROTOCOL = 1
"""The protocol of this version."""
OLDEST_PROTOCOL = 1
"""The oldest protocol that this feed answers."""


class Hello(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The feed's version, and the queue that `local` means on its machine."""

    service: str
    version: str
    """Version of spawn."""
    protocol: int
    oldest: int
    uid: int
    """User id of the owner of the queues."""
    root: str
    """Folder of the queues."""
    local: str = ""
    """The running queue, else the newest; empty if there is none."""
    others: tuple[str, ...] = ()
    """Other running queues."""


class QueueSummary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One queue. `state` is `unreadable` if its log cannot be read."""

    queue_id: str
    state: str
    runs: bool
    """Whether the queue has a live runner."""
    troubles: tuple[Trouble, ...] = ()
    """Current problems of the runner."""


class Queues(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All queues, newest first."""

    queues: tuple[QueueSummary, ...]


class MachineState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The machine's state of a queue that is not in the log, as of the page's newest event."""

    version: str
    """Send it as `since`; the next answer then has only changes."""
    whole: bool
    """Whether `jobs` and `earlier` are complete, not only changes."""
    runner_alive: bool
    """Determined before the log is read, so the page has everything that a dead runner wrote."""
    replica: Replica | None = None
    endings: dict[str, UnloggedEnd] = {}
    """Outcomes of running jobs that no runner has recorded yet, by job id; always complete."""
    troubles: tuple[Trouble, ...] = ()
    """Current problems of a live runner."""
    jobs: dict[str, LiveData | None] = {}
    """Live state by job id; None if the job no longer has any."""
    earlier: dict[str, float] | None = None
    """Durations of jobs in earlier queues, in seconds by job id; None if unchanged."""
    lost: int = 0
    """Number of newest events that the log has lost."""


class Page(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first line of an answer; the requested events follow, one per line."""

    queue_id: str
    seq: int
    """Seq of the last event that follows, else the request's `after`."""
    more: bool = False
    """Ask again at once: an answer cannot hold all events, or the feed is still reading its log."""
    differs: bool = False
    """The log does not contain the known event: it is a different log. No events follow."""
    now: datetime | None = None
    """The machine's clock."""
    machine: MachineState | None = None
    """The machine's state after the last event; only in the last page."""


class Fault(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error. `seq` is the first invalid event of a log, `cause` that of a `QueueNotFound`."""

    service: str
    kind: str
    what: str
    why: str = ""
    hint: str = ""
    seq: int = 0
    cause: str = ""
