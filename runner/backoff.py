"""How long to leave a store alone that fails: longer each time, for all that ask it together."""

import random
import time
from threading import Lock

OFTEN = 2
"""Failures in a row that are no accident."""


class Backoff:
    """A pause that doubles with each failure, until something goes well; used by several threads.

    Args:
        first: Seconds of the first pause.
        most: Seconds of the longest.
    """

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._next = first
        self._until = 0.0
        self._failures = 0
        self._since = 0.0
        self._why = ""
        self._lock = Lock()

    def failed(self, why: str) -> float:
        """Note a failure; returns how many seconds to wait before the next try."""
        with self._lock:
            now = time.monotonic()
            if now >= self._until:  # else it is one of several that failed at once
                self._until = now + self._next
                self._next = min(self._most, self._next * 2)
                self._since = self._since if self._failures else now
                self._failures += 1
                self._why = why
            return self._spread(self._until - now)

    @property
    def trouble(self) -> tuple[float, str] | None:
        """Since when, by the monotonic clock, nothing has gone well, and why; None after a single
        failure, or none."""
        with self._lock:
            return (self._since, self._why) if self._failures >= OFTEN else None

    def went(self) -> None:
        """Note that something went well."""
        with self._lock:
            self._next = self._first
            self._until = 0.0
            self._failures = 0

    def pause(self) -> float:
        """How many seconds of the pause are left; 0 for none."""
        with self._lock:
            left = self._until - time.monotonic()
            return self._spread(left) if left > 0 else 0.0

    def _spread(self, seconds: float) -> float:
        """Not all at the same moment."""
        return seconds + self._first * random.random()
