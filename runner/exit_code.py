"""The exit code for a queue's state, for its runner and for commands that follow the queue."""

from signal import Signals

from spawn.core.state import QueueState

TIME_OVER = 128 + Signals.SIGTERM
"""Exit code when the time on this machine is over before the queue has ended. A service manager
does not count a SIGTERM as a failure, so it does not restart the runner."""


def exit_code(state: QueueState) -> int:
    """Exit code of a runner that leaves its queue in this state."""
    if state.state == "interrupted" and state.reason in ("spot", "ttl"):
        return TIME_OVER
    if state.state == "interrupted":
        return 128 + (Signals[state.detail] if state.detail in Signals.__members__ else 1)
    return 0 if state.state == "completed" else 1
