"""The timeline of a queue. Its times are seconds since the submission.

They follow the log's order: a stamp that goes back, as a clock does that is set, is lifted to that
of the event before it. So no two spans of a job ever overlap.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from spawn.core.events import Data, Event, QueueStarted

Kind = Literal[
    "run", "needs", "saving", "turn", "retry", "blocked", "rest", "unseen", "unowned", "absent",
    "folded", "tail",
]  # fmt: skip
"""What a span of time was: an attempt ran; the job waited for a dependency, for a dependency's
results to be saved, for its turn, for its retry; it was blocked; it rested, done or failed, until a
reset; its attempt had ended and nobody had seen it; nobody owned the queue; the job was not in the
configuration; attempts that are not told apart; what followed the last job."""

Result = Literal["running", "completed", "failed", "retrying", "interrupted"]


class Attempt(Struct, kw_only=True):
    """One attempt. `retrying`: it failed and another was due."""

    number: int
    epoch: int
    start: float
    pid: int = 0
    result: Result = "running"
    end: float | None = None
    """When its outcome was written; None while it runs."""
    ran_until: float | None = None
    """When its command had ended, which a runner that was not there at the time sees later."""
    wall_seconds: float = 0.0
    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False
    why: str = ""


class Move(Struct):
    """From here on the job was in this state; `absent` and `folded` are none of the machine's."""

    at: float
    state: str
    attempt: Attempt | None = None
    by: str = ""


class Completion(Struct):
    """The job was completed, its results were settled, and that was undone by a reset."""

    at: float
    settled: float | None = None
    undone: float | None = None


class Line(Struct, kw_only=True):
    """What became of one job."""

    job_id: str
    moves: list[Move]
    attempts: list[Attempt] = []
    completions: list[Completion] = []
    folded: int = 0
    """Oldest attempts that are not told apart any more."""

    @property
    def since(self) -> float:
        """When the job came into the configuration."""
        return self.moves[0].at


class Epoch(Struct, kw_only=True):
    """A runner owned the queue. `fate`: how that ended, `owns` while it does."""

    number: int
    start: float
    owner: QueueStarted
    end: float | None = None
    fate: Literal["owns", "interrupted", "completed", "failed", "died"] = "owns"
    cause: str = ""
    detail: str = ""


class Entry(Struct, kw_only=True):
    """A line of the audit: what a person did, or who owned the queue."""

    event: Event[Data]
    jobs: list[str] = []
    """Of resets that belong together: the first of them."""
    more: int = 0
    """How many jobs beyond these."""


class Span(Struct, frozen=True, kw_only=True):
    """A stretch of a job's time; `of` is the job that it waited for, where it did."""

    kind: Kind
    start: float
    end: float
    attempt: Attempt | None = None
    of: str = ""

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.start


class Timeline(Struct, kw_only=True):
    """A queue's time."""

    base: datetime
    """The submission, from which all times count."""
    end: float
    """Of the queue, or of what is known of it."""
    lines: dict[str, Line]
    """By job id, in the order of the file; only jobs of today's configuration."""
    needs: dict[str, tuple[str, ...]]
    epochs: list[Epoch]
    audit: list[Entry]
    audit_left_out: int = 0

    def moment(self, at: float) -> datetime:
        """A time as a moment, in UTC."""
        return self.base + timedelta(seconds=at)

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """When nobody owned the queue, up to `end`, in order."""
        found = []
        free = 0.0
        for epoch in self.epochs:
            if epoch.start > free:
                found.append((free, epoch.start))
            free = self.end if epoch.end is None else epoch.end
        if free < self.end:
            found.append((free, self.end))
        return found
