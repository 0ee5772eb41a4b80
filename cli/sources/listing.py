"""The queues of this machine, with a report of each."""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from spawn.cli.sources.local import LocalQueue
from spawn.core.errors import SpawnError
from spawn.core.reports.model import Report
from spawn.store import queues
from spawn.store.queue_dir.paths import Roots


class QueueEntry(Struct, frozen=True):
    """A queue with its report, or with the error if its log cannot be read. `location` is its URL
    in S3; empty for a queue of this machine."""

    queue_id: str
    report: Report | None
    error: str = ""
    location: str = ""


def list_local_queues(roots: Roots, now: datetime) -> Iterator[QueueEntry]:
    """Report every queue, newest first. A queue that cannot be read has an error instead."""
    for queue_id in queues.list_queue_ids(roots):
        try:
            with LocalQueue(roots, queue_id) as source:
                source.refresh()
                yield QueueEntry(queue_id, source.summary(now))
        except SpawnError as error:
            yield QueueEntry(queue_id, None, str(error))
