"""How long to leave a store alone that fails: longer each time, for all that ask it together."""

import random
import time
from threading import Lock


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
        self._lock = Lock()

    def failed(self) -> float:
        """Note a failure; returns how many seconds to wait before the next try."""
        with self._lock:
            now = time.monotonic()
            if now >= self._until:  # else it is one of several that failed at once
                self._until = now + self._next
                self._next = min(self._most, self._next * 2)
            return self._spread(self._until - now)

    def went(self) -> None:
        """Note that something went well."""
        with self._lock:
            self._next = self._first
            self._until = 0.0

    def pause(self) -> float:
        """How many seconds of the pause are left; 0 for none."""
        with self._lock:
            left = self._until - time.monotonic()
            return self._spread(left) if left > 0 else 0.0

    def _spread(self, seconds: float) -> float:
        """Not all at the same moment."""
        return seconds + self._first * random.random()
