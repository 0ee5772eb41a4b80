"""How long a runner that died without an event owned its queue."""

from spawn.core.moments import seconds_between
from spawn.core.state import QueueState


def owned_seconds(state: QueueState, reported: float | None, *, every: float) -> float | None:
    """Return the seconds of an epoch without an end in the log; None if it has an end.

    The runner's last reported value comes from a monotonic clock and may be slightly old. The
    stamps of its events may cover later time. They are trusted for up to two report intervals after
    the last report, because a busy machine may report late.

    Args:
        reported: Seconds in the runner's last report; None if only the stamps are known.
        every: The report interval in seconds.
    """
    if not state.owned_since:
        return None
    stamps = max(0.0, seconds_between(state.owned_since, state.last_at))
    if reported is None:
        return stamps
    return round(max(reported, min(stamps, reported + 2 * every)), 3)
