"""Wait between two looks at a queue: until there is news, where its source can tell."""

import time
from typing import Protocol, runtime_checkable

from spawn.cli.sources.queue import QueueSource
from spawn.store.objects.port import Unavailable

LEAST_SECONDS = 1.0
"""A feed counts whole seconds: what is left below that is slept."""
RETRY_SECONDS = 5.0
"""How long until who does not answer is asked again, at most."""


@runtime_checkable
class Waits(Protocol):
    """A source that can wait for news."""

    def pause(self, seconds: float) -> bool:
        """See `FeedQueue.pause`."""
        ...


def pause(source: QueueSource, seconds: float) -> bool:
    """Wait until there is news for `refresh`, at most so long; returns whether there is. A source
    that cannot tell sleeps, and may have some.

    One that cannot be asked is no error here: `refresh` says so.
    """
    until = time.monotonic() + seconds
    while isinstance(source, Waits):
        left = until - time.monotonic()
        if left < LEAST_SECONDS:
            break
        try:
            if source.pause(left):
                return True
        except Unavailable:
            time.sleep(min(LEAST_SECONDS, left))
            return True
    time.sleep(max(0.0, until - time.monotonic()))
    return not isinstance(source, Waits)
