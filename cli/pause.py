"""Wait before the next refresh of a queue; a source with notifications ends the wait early."""

import time
from typing import Protocol, runtime_checkable

from spawn.cli.sources.queue import QueueSource
from spawn.store.objects.port import Unavailable

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
