"""How an attempt ended. Separate from the rest of the core, because supervisors are forked from a
process that must stay small and import nothing else of it."""

from typing import Literal, NamedTuple

StopCause = Literal["timeout", "stop", "cancel", "spot", "fenced", "host"]
"""Why an attempt was stopped. A stopped attempt never completes, whatever its exit code."""


class AttemptExit(NamedTuple):
    """How an attempt ended, as its supervisor recorded it.

    `exit_code` is as in bash: 128 + n for death by signal n.
    """

    exit_code: int
    signal: str | None = None
    stop: StopCause | None = None
    started: bool = True
    observed: bool = True
    """False: the supervisor died while it stopped the attempt, so the end was not observed."""
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    output_dropped_bytes: int = 0
    unended: tuple[int, ...] = ()
    """PIDs of another user, as `sudo` creates, that the supervisor may not end. If the command is
    one of them, its exit code is unknown."""


def unended_text(pids: tuple[int, ...]) -> str:
    """Name the processes that could not be ended; empty if there are none."""
    if not pids:
        return ""
    one = len(pids) == 1
    named = f"process {pids[0]}" if one else f"processes {', '.join(map(str, pids))}"
    return f"{named} of another user could not be ended and may still run"
