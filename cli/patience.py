"""Bear with a store that cannot be reached for a while, for commands that stay."""

import time
from typing import Protocol, runtime_checkable

from spawn.cli.bootstrap import say
from spawn.cli.sources.queue import QueueSource
from spawn.core.durations import text as duration
from spawn.store.objects.port import Unavailable

PATIENCE_SECONDS = 600.0
"""How long a store may not answer."""


@runtime_checkable
class Moves(Protocol):
    """A source that may turn to another place, and says so itself."""

    @property
    def place(self) -> object:
        """Where it reads by now."""
        ...


class Patience:
    """Asks a source again and again; says once that it cannot be reached, and once that it can."""

    def __init__(self) -> None:
        self._since: float | None = None

    def refresh(self, source: QueueSource) -> bool:
        """Refresh a source that was refreshed before; returns whether it could be.

        Raises:
            SpawnError: What waiting does not help, or has not helped for `PATIENCE_SECONDS`.
        """
        before = source.place if isinstance(source, Moves) else None
        try:
            source.refresh()
        except Unavailable as error:
            self.bear(error)
            return False
        if isinstance(source, Moves) and source.place is not before:
            self._since = None  # who could not be reached is not who answers
        self.well()
        return True

    def bear(self, error: Unavailable) -> None:
        """Take an error that may pass.

        Raises:
            Unavailable: It has not, for too long.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
            say(f"{error}; trying again for {duration(PATIENCE_SECONDS)}")
        elif now - self._since > PATIENCE_SECONDS:
            raise error

    def well(self) -> None:
        """Say that the store can be reached again, if it could not be."""
        if self._since is not None:
            say(f"It can be reached again, after {duration(time.monotonic() - self._since)}")
            self._since = None
