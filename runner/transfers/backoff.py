"""Exponential backoff, shared by all threads that use one store."""

import random
import time
from threading import Lock

OUTAGE_FAILURES = 2
"""Consecutive failures that count as an outage."""


class Backoff:
    """A pause that doubles with each failure and resets on success. Thread-safe.

    Args:
        first: Seconds of the first pause.
        longest: Seconds of the longest pause.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first
        self._until = 0.0
        self._failures = 0
        self._since = 0.0
        self._why = ""
        self._lock = Lock()

    def record_failure(self, why: str) -> float:
        """Record a failure; returns how many seconds to wait before the next try."""
        with self._lock:
            now = time.monotonic()
            if now >= self._until:  # concurrent failures count once
                self._until = now + self._next
                self._next = min(self._longest, self._next * 2)
                self._since = self._since if self._failures else now
                self._failures += 1
                self._why = why
            return self._with_jitter(self._until - now)

    @property
    def outage(self) -> tuple[float, str] | None:
        """Start of the current outage by the monotonic clock, and its cause; None without one."""
        with self._lock:
            return (self._since, self._why) if self._failures >= OUTAGE_FAILURES else None

    def record_success(self) -> None:
        """Reset the pause."""
        with self._lock:
            self._next = self._first
            self._until = 0.0
            self._failures = 0

    def pause(self) -> float:
        """Seconds left of the current pause; 0 for none."""
        with self._lock:
            left = self._until - time.monotonic()
            return self._with_jitter(left) if left > 0 else 0.0

    def _with_jitter(self, seconds: float) -> float:
        """Keep threads from retrying at the same moment."""
        return seconds + self._first * random.random()
