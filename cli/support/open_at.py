"""Open a queue as of now or of a past moment, for the commands that show its history."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from spawn.cli import bootstrap, host
from spawn.cli.flags import LocationFlags
from spawn.cli.sources.local import LocalQueue
from spawn.cli.sources.queue import QueueSource
from spawn.cli.support.times import parse_moment
from spawn.core.errors import SpawnError
from spawn.core.reports.build import lost_text
from spawn.core.values.timestamps import format_timestamp


@contextmanager
def open_queue_at(
    target: str, at: str | None, where: LocationFlags
) -> Iterator[tuple[QueueSource, datetime | None]]:
    """Find a queue and replay its log up to a moment.

    Args:
        at: The value of `--at`; None for now.
        where: The location flags.

    Yields:
        The queue, refreshed up to the moment, and the moment; None without `at`.

    Raises:
        InvalidArgument: The target or the time is invalid.
        QueueNotFound: The queue does not exist, or did not exist at that moment.
    """
    then = None if at is None else parse_moment(at, host.now())
    with bootstrap.find_queue(target, where=where) as source:
        source.refresh(until=None if then is None else format_timestamp(then))
        if isinstance(source, LocalQueue) and source.lost_events:
            host.say(f"Warning: {lost_text(source.queue_id, source.lost_events)}")
        yield source, then


def expect_events(source: QueueSource) -> None:
    """Check that a queue's log has events.

    Raises:
        SpawnError: The queue was submitted, but its log is still empty.
    """
    if not source.seq:
        raise SpawnError(
            f"queue {source.queue_id} has not started: its log has no events yet",
            hint=f"`spawn queue status {source.queue_id}` shows its state",
        )
