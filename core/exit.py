"""How an attempt ended. Apart from the rest of the core: supervisors are forked from a process
that must stay small, and this is all that they know of it."""

from typing import Literal, NamedTuple

StopCause = Literal["timeout", "stop", "cancel", "spot", "fenced", "host"]
"""Why somebody ended an attempt. After a stop no exit code means completed."""


class Exit(NamedTuple):
    """How an attempt ended, as its supervisor recorded it.

    `exit_code` is as bash gives it: 128 + n for death by signal n.
    """

    exit_code: int
    signal: str | None = None
    stop: StopCause | None = None
    began: bool = True
    seen: bool = True
    """False: the supervisor died after it began to stop the attempt, which ended with it."""
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    output_dropped_bytes: int = 0
