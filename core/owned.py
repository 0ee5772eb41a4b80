"""How long a runner owned its queue that died before it could say so."""

from spawn.core.moments import seconds_between
from spawn.core.state import QueueState


def owned_seconds(state: QueueState, told: float | None, *, every: float) -> float | None:
    """Seconds of an epoch that has no end in the log; None when it has one.

    What the runner told last is by a clock that never jumps, and at most a little old; the stamps
    of its events may know more of the time after that, and are believed for as long as it could
    have lived without telling again. Twice as long: a busy machine is late.

    Args:
        told: What it told last; None when nothing is known but the stamps.
        every: How often it told, seconds.
    """
    if not state.owned_since:
        return None
    stamps = max(0.0, seconds_between(state.owned_since, state.last_at))
    if told is None:
        return stamps
    return round(max(told, min(stamps, told + 2 * every)), 3)
