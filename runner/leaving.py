"""Why nothing new begins any more: a signal, a cancel, the queue's time, another owner."""

import signal

from spawn.core.config.model import QueueConfig
from spawn.core.events import QueueFailed, QueueInterrupted
from spawn.core.state import QueueState
from spawn.runner.ports import Clock

PUBLISH_SECONDS = 10.0
"""How long a stop waits for files on their way to the object store; the next runner brings them."""


class Leaving:
    """What asks the runner to stop, and how long it may take.

    Args:
        cancelled_by: Who has cancelled the queue before the runner began; empty for nobody.
    """

    def __init__(self, clock: Clock, cancelled_by: str = "") -> None:
        self._clock = clock
        self._deadline: float | None = None
        self._since: float | None = None
        """When a stop first had nothing left to wait for but copies."""
        self.cancelled_by = cancelled_by
        self.signal: int | None = None
        self.at_once = False
        """Whether somebody asked a second time: nothing is waited for any more."""
        self.timed_out = False
        self.fenced = ""
        """Who owns the queue instead of us."""

    def __bool__(self) -> bool:
        return bool(self.signal or self.timed_out or self.cancelled_by or self.fenced)

    def interrupt(self, number: int) -> None:
        """Take a signal: the first asks for good order, the second for haste."""
        self.at_once = self.signal is not None
        if self.signal is None:
            self.signal = number

    def set_deadline(self, config: QueueConfig, state: QueueState) -> None:
        """Count what the queue has left of its `global_timeout`, if it has one."""
        self._deadline = None
        if config.global_timeout is not None:
            left = max(0.0, config.global_timeout - state.owned_seconds)
            self._deadline = self._clock.monotonic() + left

    def expire(self, state: QueueState) -> bool:
        """See whether the queue's time has run out just now; it has not, once only copies are left
        to make."""
        late = self._deadline is not None and self._clock.monotonic() >= self._deadline
        if not late or self.timed_out:
            return False
        if state.counts["completed"] == len(state.jobs):
            self._deadline = None
            return False
        self.timed_out = True
        return True

    @property
    def deadline(self) -> float | None:
        """When the queue's time runs out, by the monotonic clock; None for never, or long ago."""
        return None if self.timed_out else self._deadline

    @property
    def impatient(self) -> bool:
        """Whether a stop has waited long enough for what is left to be copied."""
        if not self:
            return False
        if self._since is None:
            self._since = self._clock.monotonic()
        return self.at_once or self._clock.monotonic() - self._since >= PUBLISH_SECONDS

    @property
    def verdict(self) -> QueueFailed | QueueInterrupted | None:
        """How the queue ends once nothing runs any more; None while nobody asks it to."""
        if self.fenced:
            return QueueInterrupted(cause="fenced", detail=self.fenced)
        if self.cancelled_by:
            return QueueFailed(reason="cancelled", detail=f"by {self.cancelled_by}")
        if self.signal is not None:
            return QueueInterrupted(cause="signal", detail=signal.Signals(self.signal).name)
        if self.timed_out:
            return QueueFailed(reason="global_timeout")
        return None
