"""The feed's answers, as JSON.

A reader ignores fields that it does not know, and a field that is missing has its default: so more
may come within one protocol. A change that a reader of the old shape would be wrong about raises
`PROTOCOL`, and `OLDEST` when those of before are answered no more. `Hello` never changes.
"""

from datetime import datetime

from msgspec import Struct

from spawn.core.report.model import Ending, Live, Replica, Trouble

SERVICE = "spawn-feed"
PROTOCOL = 1
"""What this version speaks."""
OLDEST = 1
"""The oldest that its feed still answers."""


class Hello(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who answers, and which queue `local` means there."""

    service: str
    version: str
    """Of spawn."""
    protocol: int
    oldest: int
    uid: int
    """Whose queues it serves."""
    root: str
    """The folder that they are in."""
    local: str = ""
    """The queue that runs, else the newest; empty where there is none."""
    others: tuple[str, ...] = ()
    """Queues that run besides it."""


class Listed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One queue. `state` is `unreadable` where its log cannot be read."""

    queue_id: str
    state: str
    runs: bool
    """Whether a runner holds it."""
    troubles: tuple[Trouble, ...] = ()
    """What keeps that one from its work."""


class Queues(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The queues that are there, newest first."""

    queues: tuple[Listed, ...]


class Machine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the machine knows of a queue beyond its log, as of the newest event of its page."""

    version: str
    """To be handed back as `since`: the next answer then has only what has changed."""
    whole: bool
    """Whether `jobs` and `earlier` are all there is, and not only what has changed."""
    runner_alive: bool
    """As it was before the log was looked at: what a dead runner wrote is in the page."""
    replica: Replica | None = None
    endings: dict[str, Ending] = {}
    """How running jobs ended that no runner has noticed, by job id; all of them each time."""
    troubles: tuple[Trouble, ...] = ()
    """What keeps a live runner from its work."""
    jobs: dict[str, Live | None] = {}
    """By job id; None: there is nothing to tell of it any more."""
    earlier: dict[str, float] | None = None
    """Seconds that jobs took in earlier queues, by job id; None: as before."""
    lost: int = 0
    """How many of its newest events the log has lost."""


class Page(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first line of an answer; the events after the one that was named follow, a line each."""

    queue_id: str
    seq: int
    """The last event that follows, else the one that was named."""
    more: bool = False
    """Whether it is to be asked again at once: there are more events than one answer holds, or the
    feed has not read its log to the end yet."""
    differs: bool = False
    """The log has not got the event that was named: it is another log. Nothing follows."""
    now: datetime | None = None
    """The machine's clock."""
    machine: Machine | None = None
    """With the last events alone: it is of the state that they lead to."""


class Fault(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why there is no answer, in words. `seq` is the first event of a log that is wrong."""

    service: str
    kind: str
    what: str
    why: str = ""
    hint: str = ""
    seq: int = 0
