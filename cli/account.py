"""A queue's log, replayed to its end or to a moment, for the commands that tell of its past."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from spawn.cli import bootstrap
from spawn.cli.flags import Where
from spawn.cli.sources.queue import QueueSource
from spawn.cli.times import moment
from spawn.core.moments import stamp


@contextmanager
def opened(
    target: str, at: str | None, where: Where
) -> Iterator[tuple[QueueSource, datetime | None]]:
    """Find a queue and see that it was there at that time.

    Args:
        at: As a person types it; None for now.
        where: Where to look for it.

    Yields:
        The queue, refreshed up to then, and the moment if one was named.

    Raises:
        InvalidArgument: It is no target, or no time.
        QueueNotFound: There is no such queue, or was none then.
    """
    then = None if at is None else moment(at, bootstrap.now())
    with bootstrap.find(target, where=where) as source:
        source.refresh(until=None if then is None else stamp(then))
        yield source, then
