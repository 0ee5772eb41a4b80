"""The exit code that a queue's state amounts to: its runner's, and that of whoever follows it."""

from signal import Signals

from spawn.core.state import QueueState

IN_GOOD_ORDER = 128 + Signals.SIGTERM
"""Of a runner that ended before its queue, as its time here was over: that of a SIGTERM, so that no
service manager takes it for a failure and starts it again."""


def exit_code(state: QueueState) -> int:
    """Say how a runner ends that leaves its queue in this state."""
    if state.state == "interrupted" and state.reason in ("spot", "ttl"):
        return IN_GOOD_ORDER
    if state.state == "interrupted":
        return 128 + (Signals[state.detail] if state.detail in Signals.__members__ else 1)
    return 0 if state.state == "completed" else 1
