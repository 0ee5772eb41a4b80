"""Stopping a queue: because of a signal, EC2, a cancel, a time limit, or another owner."""

import signal

from spawn.core.config.model import QueueConfig
from spawn.core.domain.events import QueueFailed, QueueInterrupted
from spawn.core.domain.state import QueueState
from spawn.core.values.timestamps import format_timestamp
from spawn.core.values.ttl import Ttl
from spawn.runner.ports import Clock, SpotNotice

UPLOAD_SECONDS = 10.0
"""How long a stop waits for uploads; the next runner here finishes them."""
CHECKPOINT_SECONDS = 60.0
"""How long a stop waits for checkpoints that make progress: a runner on another machine could not
upload them."""
TIMED_CHECKPOINT_SECONDS = 300.0
"""The same if a time limit stops the queue, so that no user waits for it."""
POWEROFF_UPLOAD_SECONDS = 3600.0
"""How long the end of a queue waits for uploads before its machine is powered off."""
RESERVED_SECONDS = 30.0
"""Time before an EC2 interruption that is reserved for uploads and the log."""
DRAIN_SECONDS = 10.0
"""The part of it that is reserved for the log."""
MIN_SECONDS = 2.0
"""Least time from SIGTERM to SIGKILL, and least wait for uploads, before an EC2 interruption."""


class StopReasons:
    """The reasons to stop, and how long the runner may take to stop.

    Args:
        cancelled_by: User who cancelled the queue before the runner started; empty for none.
        ttl: How long the queue may stay on this machine, from now on.
        powers_off: Whether the machine is powered off at the end, so that files must be uploaded.
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
        """When a stop began to wait for uploads only."""
        self.cancelled_by = cancelled_by
        self.signal: int | None = None
        self.immediate = False
        """Whether a second signal asked to stop without waiting."""
        self.timed_out = False
        self.ttl_passed = False
        self.notice: SpotNotice | None = None
        """EC2's interruption notice."""
        self.spot_deadline = 0.0
        """Time of the EC2 interruption by the monotonic clock."""
        self._interruption: QueueInterrupted | None = None
        """The first interruption."""
        self.fenced = ""
        """Why this runner no longer owns the queue; empty while it does."""

    def __bool__(self) -> bool:
        return bool(self._interruption or self.timed_out or self.cancelled_by or self.fenced)

    def record_signal(self, number: int) -> None:
        """Record a signal: the first requests a clean stop, the second an immediate one."""
        self.immediate = self.signal is not None
        if self.signal is None:
            self.signal = number
            name = signal.Signals(number).name
            self._record_interruption(QueueInterrupted(cause="signal", detail=name))

    def record_spot_notice(self, notice: SpotNotice, kill_grace: float) -> float | None:
        """Record EC2's notice; returns the seconds from SIGTERM to SIGKILL, None for a repeat."""
        if self.notice is not None:
            return None
        left = (notice.at - self._clock.wall()).total_seconds()
        self.notice = notice
        self.spot_deadline = self._clock.monotonic() + left
        detail = f"{notice.action} at {format_timestamp(notice.at)}"
        self._record_interruption(QueueInterrupted(cause="spot", detail=detail))
        return min(kill_grace, max(left - RESERVED_SECONDS, left / 3, MIN_SECONDS))

    def _record_interruption(self, interruption: QueueInterrupted) -> None:
        if self._interruption is None:
            self._interruption = interruption

    @property
    def ends_jobs(self) -> bool:
        """Whether running jobs must end even with `--leave-jobs`."""
        return self.notice is not None or self.ttl_passed

    def set_deadline(self, config: QueueConfig, state: QueueState) -> None:
        """Set the deadline from what is left of the queue's `global_timeout`."""
        self._deadline = None
        if config.global_timeout is not None:
            left = max(0.0, config.global_timeout - state.owned_seconds)
            self._deadline = self._clock.monotonic() + left

    def expire(self, state: QueueState) -> bool:
        """Whether `global_timeout` or `ttl` has expired since the last call. Neither expires once
        only uploads are left."""
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
            self._record_interruption(QueueInterrupted(cause="ttl", detail=self._ttl.text))
        return True

    @property
    def _ttl_left(self) -> float | None:
        """Seconds; None without a `ttl`, or after it has expired."""
        if self._ttl is None or self.ttl_passed:
            return None
        return self._ttl.seconds_left(self._clock.monotonic() - self._began, self._clock.wall())

    @property
    def next_at(self) -> float | None:
        """Next time at which a limit is reached, by the monotonic clock; None for none."""
        now = self._clock.monotonic()
        moments = [] if self.timed_out or self._deadline is None else [self._deadline]
        if (ttl := self._ttl_left) is not None:
            moments.append(now + ttl)
        if self._since is not None:
            limit = self._checkpoint_limit
            limits = (self._upload_limit, limit(is_progressing=True), limit(is_progressing=False))
            moments += [each for each in limits if each > now]
        return min(moments, default=None)

    @property
    def upload_wait_over(self) -> bool:
        """Whether a stop has waited long enough for uploads."""
        if not self:
            return False
        return self.immediate or self._start_waiting() >= self._upload_limit

    def checkpoint_wait_over(self, *, is_progressing: bool) -> bool:
        """Whether a stop has waited long enough for checkpoints.

        Args:
            is_progressing: Whether the uploads of checkpoints make progress.
        """
        return self.immediate or self._start_waiting() >= self._checkpoint_limit(
            is_progressing=is_progressing
        )

    def _start_waiting(self) -> float:
        """Start the wait for uploads unless it has started; returns the current time."""
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
        return now

    @property
    def _upload_limit(self) -> float:
        """When a stop gives up uploads; call `_start_waiting` first."""
        assert self._since is not None
        if self.notice is not None:
            return max(self.spot_deadline - DRAIN_SECONDS, self._since + MIN_SECONDS)
        powers_off = self._powers_off and self.signal is None
        return self._since + (POWEROFF_UPLOAD_SECONDS if powers_off else UPLOAD_SECONDS)

    def _checkpoint_limit(self, *, is_progressing: bool) -> float:
        """When a stop gives up checkpoints."""
        assert self._since is not None
        if not is_progressing or self.notice is not None:
            return self._upload_limit
        timed = self.signal is None
        seconds = TIMED_CHECKPOINT_SECONDS if timed else CHECKPOINT_SECONDS
        return max(self._upload_limit, self._since + seconds)

    @property
    def end_event(self) -> QueueFailed | QueueInterrupted | None:
        """The event that ends the queue once no job runs; None without a reason to stop."""
        if self.fenced:
            return QueueInterrupted(cause="fenced", detail=self.fenced)
        if self.cancelled_by:
            return QueueFailed(reason="cancelled", detail=f"by {self.cancelled_by}")
        if self._interruption is not None:
            return self._interruption
        if self.timed_out:
            return QueueFailed(reason="global_timeout")
        return None
