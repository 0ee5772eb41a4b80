"""How much of files is in memory at once, whoever reads them."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Budget:
    """Bytes that several threads share.

    Args:
        limit: What they may hold together. One that wants more waits until it is alone.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._changed = Condition()

    def take(self, size: int) -> None:
        """Wait until so many bytes may be held."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + size <= self._limit)
            self._held += size

    def give(self, size: int) -> None:
        """Give them back."""
        with self._changed:
            self._held -= size
            self._changed.notify_all()

    @contextmanager
    def of(self, size: int) -> Iterator[None]:
        """Hold so many bytes for a block."""
        self.take(size)
        try:
            yield
        finally:
            self.give(size)
