"""The queues of this machine, or of a bucket, a report each."""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from spawn.cli.sources.local import LocalQueue
from spawn.core.errors import SpawnError
from spawn.core.report.model import Report
from spawn.store import queues
from spawn.store.paths import Roots


class Entry(Struct, frozen=True):
    """A queue: its report, or why its log cannot be read. One of a bucket has a location, too."""

    queue_id: str
    report: Report | None
    error: str = ""
    location: str = ""


def listing(roots: Roots, now: datetime) -> Iterator[Entry]:
    """Report every queue, newest first. One that cannot be read says so and hides no other."""
    for queue_id in queues.names(roots):
        try:
            with LocalQueue(roots, queue_id) as source:
                source.refresh()
                yield Entry(queue_id, source.summary(now))
        except SpawnError as error:
            yield Entry(queue_id, None, str(error))
