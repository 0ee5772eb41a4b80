"""The timeline of a queue. Its times are seconds since the submission.

Times follow the log's order: a stamp that is earlier than the preceding event's, because the clock
was set back, is replaced by that one. Therefore, the spans of a job never overlap.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from spawn.core.domain.events import Data, Event, QueueStarted

Kind = Literal[
    "run", "needs", "saving", "turn", "retry", "blocked", "rest", "unseen", "unowned", "absent",
    "folded", "tail",
]  # fmt: skip
"""The kind of a span. `run`: an attempt ran. `needs`, `saving`, `turn`, `retry`: the job waited for
a dependency, for the upload of a dependency's results, for a free slot, for its retry. `blocked`.
`rest`: completed or failed, until a reset. `unseen`: its attempt had ended, not yet in the log.
`unowned`: the queue had no owner. `absent`: not in the configuration. `folded`: older attempts that
are only counted. `tail`: after the last job."""

Result = Literal["running", "completed", "failed", "retrying", "interrupted"]


class Attempt(Struct, kw_only=True):
    """One attempt. `retrying`: it failed and a retry was scheduled."""

    number: int
    epoch: int
    start: float
    pid: int = 0
    result: Result = "running"
    end: float | None = None
    """When its outcome was logged; None while it runs."""
    ran_until: float | None = None
    """When its command ended, which may be earlier than `end` if there was no runner."""
    wall_seconds: float = 0.0
    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False
    reason: str = ""


class StateChange(Struct):
    """A state change at time `at`. `absent` and `folded` are not states of the state machine."""

    at: float
    state: str
    attempt: Attempt | None = None
    by: str = ""


class Completion(Struct):
    """When the job completed, when its upload succeeded or failed, and when a reset undid it."""

    at: float
    settled: float | None = None
    undone: float | None = None


class JobHistory(Struct, kw_only=True):
    """The history of one job."""

    job_id: str
    moves: list[StateChange]
    attempts: list[Attempt] = []
    completions: list[Completion] = []
    folded: int = 0
    """Number of oldest attempts that are only counted."""

    @property
    def since(self) -> float:
        """When the job was added to the configuration."""
        return self.moves[0].at


class Epoch(Struct, kw_only=True):
    """A runner's ownership of the queue. `fate`: how it ended; `owns` while it lasts."""

    number: int
    start: float
    owner: QueueStarted
    end: float | None = None
    fate: Literal["owns", "interrupted", "completed", "failed", "died"] = "owns"
    cause: str = ""
    detail: str = ""


class AuditEntry(Struct, kw_only=True):
    """An audit entry: a user's action or a change of ownership."""

    event: Event[Data]
    jobs: list[str] = []
    """The first jobs of a reset of several."""
    more: int = 0
    """Number of further jobs of the reset."""


class Span(Struct, frozen=True, kw_only=True):
    """A part of a job's time; `of` is the job that it waited for, if any."""

    kind: Kind
    start: float
    end: float
    attempt: Attempt | None = None
    of: str = ""

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return self.end - self.start


class Timeline(Struct, kw_only=True):
    """How a queue spent its time."""

    base: datetime
    """The submission, from which all times count."""
    end: float
    """The queue's end, or the latest known time."""
    lines: dict[str, JobHistory]
    """By job id, in file order; only jobs of the current configuration."""
    needs: dict[str, tuple[str, ...]]
    epochs: list[Epoch]
    audit: list[AuditEntry]
    audit_left_out: int = 0

    def moment(self, at: float) -> datetime:
        """Convert a time of the timeline to UTC."""
        return self.base + timedelta(seconds=at)

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """Periods without an owner up to `end`, oldest first."""
        found = []
        free = 0.0
        for epoch in self.epochs:
            if epoch.start > free:
                found.append((free, epoch.start))
            free = self.end if epoch.end is None else epoch.end
        if free < self.end:
            found.append((free, self.end))
        return found
