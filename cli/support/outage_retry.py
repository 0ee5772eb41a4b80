"""Retry while a store is unavailable, for commands that follow a queue."""

import time
from typing import Protocol, runtime_checkable

from spawn.cli.host import say
from spawn.cli.sources.queue import QueueSource
from spawn.core.values.durations import format_duration as duration
from spawn.store.objects.interface import Unavailable

MAX_OUTAGE_SECONDS = 600.0
"""How long a store may be unavailable before the command fails."""


@runtime_checkable
class MovingSource(Protocol):
    """A source that may switch to another place, and prints a message when it does."""

    @property
    def place(self) -> object:
        """The place that the source reads now."""
        ...


class OutageRetry:
    """Refreshes a source despite outages; prints one message when an outage starts and ends."""

    def __init__(self) -> None:
        self._since: float | None = None

    def refresh(self, source: QueueSource) -> bool:
        """Refresh a source that was refreshed before; returns False while it is unavailable.

        Raises:
            SpawnError: The error is permanent, or has lasted longer than `MAX_OUTAGE_SECONDS`.
        """
        before = source.place if isinstance(source, MovingSource) else None
        try:
            source.refresh()
        except Unavailable as error:
            self.record_failure(error)
            return False
        if isinstance(source, MovingSource) and source.place is not before:
            self._since = None  # the unavailable place is not the one that answers
        self.record_success()
        return True

    def record_failure(self, error: Unavailable) -> None:
        """Record a failed request.

        Raises:
            Unavailable: The outage has lasted longer than `MAX_OUTAGE_SECONDS`.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
            say(f"{error}; retrying for up to {duration(MAX_OUTAGE_SECONDS)}")
        elif now - self._since > MAX_OUTAGE_SECONDS:
            raise error

    def record_success(self) -> None:
        """Record a successful request; prints a message if it ends an outage."""
        if self._since is not None:
            say(f"Connected again after {duration(time.monotonic() - self._since)}")
            self._since = None


MIN_FEED_WAIT_SECONDS = 1.0
"""A feed waits whole seconds; a shorter rest is slept."""
RETRY_SECONDS = 5.0
"""Longest pause before an unavailable source is asked again."""


@runtime_checkable
class WaitingSource(Protocol):
    """A source that can wait for changes."""

    def pause(self, seconds: float) -> bool:
        """Wait until the queue changes, at most `seconds`; returns whether it has changed."""
        ...


def wait_for_change(source: QueueSource, seconds: float) -> bool:
    """Wait until `refresh` may find something new, at most `seconds`.

    Returns:
        False only if the source is known to have nothing new. An unavailable source returns True:
        `refresh` raises the error.
    """
    until = time.monotonic() + seconds
    while isinstance(source, WaitingSource):
        left = until - time.monotonic()
        if left < MIN_FEED_WAIT_SECONDS:
            break
        try:
            if source.pause(left):
                return True
        except Unavailable:
            time.sleep(min(MIN_FEED_WAIT_SECONDS, left))
            return True
    time.sleep(max(0.0, until - time.monotonic()))
    return not isinstance(source, WaitingSource)
