"""A queue's log, replayed to its end or to a moment, for the commands that tell of its past."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from spawn.cli import bootstrap
from spawn.cli.flags import Where
from spawn.cli.sources.local import LocalQueue
from spawn.cli.sources.queue import QueueSource
from spawn.cli.times import moment
from spawn.core.errors import SpawnError
from spawn.core.moments import stamp
from spawn.core.report.build import lost_text


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
        if isinstance(source, LocalQueue) and source.lost:
            bootstrap.say(f"Warning: {lost_text(source.queue_id, source.lost)}")
        yield source, then


def expect_begun(source: QueueSource) -> None:
    """See that a queue's log has something to tell.

    Raises:
        SpawnError: It was submitted, and its log has nothing yet.
    """
    if not source.seq:
        raise SpawnError(
            f"queue {source.queue_id} has not begun: its log has nothing yet",
            hint=f"`spawn queue status {source.queue_id}` shows what is known of it",
        )
