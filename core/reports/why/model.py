"""The causes of a job's state, as facts in reading order."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

Kind = Literal[
    "state", "waits", "attempt", "turn", "next_up", "saving", "unsaved", "saved", "stopping",
    "not_started", "interrupted", "ended", "no_runner", "retry", "reset", "owner", "reconfigured",
    "refused", "left_out", "not_put_back", "output_unsaved", "trouble",
]  # fmt: skip
"""The kind of a fact. `waits`: the chain of dependencies, nearest first. `turn`: the job is ready,
but other jobs run or come first. `next_up`: the job starts next. `not_put_back`: results that it
needs cannot be restored yet. `trouble`: an operation of the runner fails. `stopping`: no new job
starts after a failure. `ended` and `interrupted` are about the queue."""


class Fact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One cause. The fields that are set depend on `kind`; unknown ones keep their default.

    Durations are seconds, sizes are bytes.
    """

    kind: Kind
    job_id: str = ""
    state: str = ""
    at: datetime | None = None
    until: datetime | None = None
    """When a retry is due, or an attempt ended."""
    before: bool = False
    """Whether the fact belongs to the history."""
    chain: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    more: int = 0
    """Number of further items beyond those named, or of items left out."""
    attempt: int = 0
    spent: int = 0
    """Budget used, including this attempt: the `1` of `1/3`."""
    most: int = 0
    """The `3` of `1/3`."""
    result: str = ""
    """Result of an attempt. `unnoticed`: running in the log, but ended; `reason` says how."""
    exit_code: int | None = None
    signal: str = ""
    timed_out: bool = False
    seconds: float | None = None
    limit: float | None = None
    """The timeout of an attempt, or a retry's maximum delay."""
    delay: float | None = None
    """Delay between a failure and the next attempt."""
    pid: int = 0
    reason: str = ""
    detail: str = ""
    by: str = ""
    host: str = ""
    epoch: int = 0
    files: int = 0
    size: int = 0
    last_lines: tuple[str, ...] = ()


class Advice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command to run next, and what it does, such as `resumes the queue`."""

    command: str
    does: str


class Explanation(Struct, frozen=True, kw_only=True):
    """The explanation of one job's state."""

    queue_id: str
    job_id: str
    state: str
    as_of: datetime
    facts: tuple[Fact, ...]
    next: tuple[Advice, ...]
    past: bool = False
    """Whether the user chose `as_of` with `--at`."""
