"""A shared limit for file data in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Budget:
    """A number of bytes that threads share.

    Args:
        limit: Bytes that all threads may hold together. A larger request waits until no other
            thread holds any.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._changed = Condition()

    def acquire(self, size: int) -> None:
        """Wait until `size` bytes are free, then hold them."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + size <= self._limit)
            self._held += size

    def release(self, size: int) -> None:
        """Free `size` bytes."""
        with self._changed:
            self._held -= size
            self._changed.notify_all()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold `size` bytes for a block."""
        self.acquire(size)
        try:
            yield
        finally:
            self.release(size)
