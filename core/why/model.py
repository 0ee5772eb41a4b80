"""The causes of a job's state, as facts in the order in which a person should read them."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

Kind = Literal[
    "state", "waits", "attempt", "turn", "next_up", "saving", "unsaved", "saved", "stopping",
    "not_started", "interrupted", "ended", "no_runner", "retry", "reset", "owner", "reconfigured",
    "refused", "left_out", "not_put_back", "output_unsaved", "trouble",
]  # fmt: skip
"""What a fact tells of. `waits`: the chain of dependencies, nearest first. `turn`: it is ready, and
others run or come first. `next_up`: nothing holds it up. `not_put_back`: results that it needs
cannot be brought to this machine yet. `trouble`: something keeps the runner from its work.
`stopping`: a failure keeps anything new from starting. `ended` and `interrupted`: the queue has."""


class Fact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One cause. Which fields are there depends on `kind`; what is not known is left out.

    Durations are seconds, sizes bytes.
    """

    kind: Kind
    job_id: str = ""
    state: str = ""
    at: datetime | None = None
    until: datetime | None = None
    """When a retry is due, or an attempt ended."""
    before: bool = False
    """It is of the past: told in the list of what came before."""
    chain: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    more: int = 0
    """How many beyond `others`, or how many were left out."""
    attempt: int = 0
    spent: int = 0
    """Budget spent with this attempt: the `1` of `1/3`."""
    most: int = 0
    """The `3` of `1/3`."""
    result: str = ""
    """Of an attempt. `unnoticed`: it runs by the log, but is over; `reason` says how."""
    exit_code: int | None = None
    signal: str = ""
    timed_out: bool = False
    seconds: float | None = None
    limit: float | None = None
    """The timeout of an attempt, or a retry's longest delay."""
    delay: float | None = None
    """From a failure to the next attempt."""
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
    """What to do next: a command, and what it does."""

    command: str
    does: str


class Why(Struct, frozen=True, kw_only=True):
    """Why one job is where it is."""

    queue_id: str
    job_id: str
    state: str
    as_of: datetime
    facts: tuple[Fact, ...]
    next: tuple[Advice, ...]
    past: bool = False
    """Whether `as_of` is a moment that a user has named."""
