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
    unended: tuple[int, ...] = ()
    """Processes of another user, as `sudo` makes them, that nobody here may end; the command
    itself may be one of them: then nobody knows its exit code."""


def unended_text(pids: tuple[int, ...]) -> str:
    """Say which processes could not be ended; empty when there are none."""
    if not pids:
        return ""
    one = len(pids) == 1
    named = f"process {pids[0]}" if one else f"processes {', '.join(map(str, pids))}"
    return f"{named} of another user could not be ended and may live on"
