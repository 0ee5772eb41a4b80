"""Why nothing new begins any more: a signal, EC2, a cancel, time that is over, another owner."""

import signal

from spawn.core.config.model import QueueConfig
from spawn.core.events import QueueFailed, QueueInterrupted
from spawn.core.moments import stamp
from spawn.core.state import QueueState
from spawn.core.ttl import Ttl
from spawn.runner.ports import Clock, Noticed

PUBLISH_SECONDS = 10.0
"""How long a stop waits for files on their way to the object store; the next runner brings them."""
CHECKPOINT_SECONDS = 60.0
"""How long it waits for checkpoints that get on: no next runner elsewhere could bring them."""
TIMED_CHECKPOINT_SECONDS = 300.0
"""The same where no person waits for it, as the queue's time has run out."""
PROMISE_SECONDS = 3600.0
"""How long the end of a queue waits for files, after which its machine is to be powered off."""
KEPT_SECONDS = 30.0
"""What is kept of the time before EC2 takes the instance back, for files and the log."""
DRAIN_SECONDS = 10.0
"""What of that is for the log alone."""
LEAST_GRACE = 2.0
"""Seconds from TERM to KILL however near the moment is."""


class Leaving:
    """What asks the runner to stop, and how long it may take.

    Args:
        cancelled_by: Who has cancelled the queue before the runner began; empty for nobody.
        ttl: How long the queue may stay on this machine, from now on.
        powers_off: Whether the machine is powered off at the end: what is only here must be saved.
    """

    def __init__(
        self,
        clock: Clock,
        cancelled_by: str = "",
        *,
        ttl: Ttl | None = None,
        powers_off: bool = False,
    ) -> None:
        self._clock = clock
        self._deadline: float | None = None
        self._began = clock.monotonic()
        self._ttl = ttl
        self._powers_off = powers_off
        self._since: float | None = None
        """When a stop first had nothing left to wait for but copies."""
        self.cancelled_by = cancelled_by
        self.signal: int | None = None
        self.at_once = False
        """Whether somebody asked a second time: nothing is waited for any more."""
        self.timed_out = False
        self.ttl_passed = False
        self.notice: Noticed | None = None
        """That EC2 takes the instance back."""
        self.taken_at = 0.0
        """When it does, by the monotonic clock."""
        self._interruption: QueueInterrupted | None = None
        """The first of what interrupts the queue."""
        self.fenced = ""
        """Who owns the queue instead of us."""

    def __bool__(self) -> bool:
        return bool(self._interruption or self.timed_out or self.cancelled_by or self.fenced)

    def interrupt(self, number: int) -> None:
        """Take a signal: the first asks for good order, the second for haste."""
        self.at_once = self.signal is not None
        if self.signal is None:
            self.signal = number
            name = signal.Signals(number).name
            self._interrupted(QueueInterrupted(cause="signal", detail=name))

    def take_back(self, notice: Noticed, kill_grace: float) -> float | None:
        """Take EC2's notice; returns the seconds from TERM to KILL, None where it is known."""
        if self.notice is not None:
            return None
        left = (notice.at - self._clock.wall()).total_seconds()
        self.notice = notice
        self.taken_at = self._clock.monotonic() + left
        detail = f"{notice.action} at {stamp(notice.at)}"
        self._interrupted(QueueInterrupted(cause="spot", detail=detail))
        return min(kill_grace, max(left - KEPT_SECONDS, left / 3, LEAST_GRACE))

    def _interrupted(self, by: QueueInterrupted) -> None:
        if self._interruption is None:
            self._interruption = by

    @property
    def ends_jobs(self) -> bool:
        """Whether jobs must end, also those that a stop would leave to the next runner."""
        return self.notice is not None or self.ttl_passed

    def set_deadline(self, config: QueueConfig, state: QueueState) -> None:
        """Count what the queue has left of its `global_timeout`, if it has one."""
        self._deadline = None
        if config.global_timeout is not None:
            left = max(0.0, config.global_timeout - state.owned_seconds)
            self._deadline = self._clock.monotonic() + left

    def expire(self, state: QueueState) -> bool:
        """See whether time has run out just now, the queue's or that on this machine; it has not,
        once only copies are left to make."""
        now = self._clock.monotonic()
        late = self._deadline is not None and now >= self._deadline and not self.timed_out
        ttl = self._ttl_left
        over = ttl is not None and ttl <= 0
        if not late and not over:
            return False
        if state.counts["completed"] == len(state.jobs):
            self._deadline = self._ttl = None
            return False
        self.timed_out = self.timed_out or late
        if over and self._ttl is not None:
            self.ttl_passed = True
            self._interrupted(QueueInterrupted(cause="ttl", detail=self._ttl.text))
        return True

    @property
    def _ttl_left(self) -> float | None:
        """Seconds; None for no end, or one that is over."""
        if self._ttl is None or self.ttl_passed:
            return None
        return self._ttl.left(self._clock.monotonic() - self._began, self._clock.wall())

    @property
    def next_at(self) -> float | None:
        """When there is something to do, by the monotonic clock; None for never, or long ago."""
        now = self._clock.monotonic()
        moments = [] if self.timed_out or self._deadline is None else [self._deadline]
        if (ttl := self._ttl_left) is not None:
            moments.append(now + ttl)
        if self._since is not None:
            limits = (self._patience, self._limit(flows=True), self._limit(flows=False))
            moments += [each for each in limits if each > now]
        return min(moments, default=None)

    @property
    def impatient(self) -> bool:
        """Whether a stop has waited long enough for what is left to be copied."""
        if not self:
            return False
        return self.at_once or self._wait() >= self._patience

    def gives_up(self, *, flows: bool) -> bool:
        """Whether a stop has waited long enough for checkpoints.

        Args:
            flows: Whether they get on.
        """
        return self.at_once or self._wait() >= self._limit(flows=flows)

    def _wait(self) -> float:
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
        return now

    @property
    def _patience(self) -> float:
        """Until when files are waited for, once `_wait` was called."""
        assert self._since is not None
        if self.notice is not None:
            return max(self.taken_at - DRAIN_SECONDS, self._since + LEAST_GRACE)
        lasting = self._powers_off and self.signal is None
        return self._since + (PROMISE_SECONDS if lasting else PUBLISH_SECONDS)

    def _limit(self, *, flows: bool) -> float:
        """Until when checkpoints are."""
        assert self._since is not None
        if not flows or self.notice is not None:
            return self._patience
        timed = self.signal is None
        seconds = TIMED_CHECKPOINT_SECONDS if timed else CHECKPOINT_SECONDS
        return max(self._patience, self._since + seconds)

    @property
    def verdict(self) -> QueueFailed | QueueInterrupted | None:
        """How the queue ends once nothing runs any more; None while nobody asks it to."""
        if self.fenced:
            return QueueInterrupted(cause="fenced", detail=self.fenced)
        if self.cancelled_by:
            return QueueFailed(reason="cancelled", detail=f"by {self.cancelled_by}")
        if self._interruption is not None:
            return self._interruption
        if self.timed_out:
            return QueueFailed(reason="global_timeout")
        return None
