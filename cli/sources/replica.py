"""A queue's log in an object store: where it is, for every command that reads it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from spawn.core.errors import CorruptLog, InvalidArgument, SpawnError
from spawn.core.events import QueueStarted
from spawn.core.ids import why_not_queue_id
from spawn.store import queues
from spawn.store.instance import instance
from spawn.store.log import read
from spawn.store.objects.port import ObjectStore, StoreError
from spawn.store.paths import Roots
from spawn.store.place import Place, open_place, parse


def open_replica(
    roots: Roots,
    queue_id: str,
    *,
    bucket: str | None = None,
    prefix: str | None = None,
    region: str | None = None,
    profile: str | None = None,
) -> ObjectStore:
    """Open the object store that a queue's log is in; nothing is asked of it yet.

    What is not given is taken from the queue's log on this machine, also from one that was kept
    aside; without any, the bucket is the region's and the prefix the queue's id.

    Raises:
        InvalidArgument: It cannot be a queue, or nobody knows the bucket.
    """
    why = why_not_queue_id(queue_id)
    if why is not None:
        raise InvalidArgument(f"'{queue_id}' is not a queue id", why=why)
    known = _known(roots, queue_id)
    if known is not None and bucket is None and parse(known.results_location) is None:
        # An absolute path stays what it is below any folder.
        return open_place(Place(prefix=prefix or known.results_location), roots.objects)
    at = parse(known.results_location) if known else None
    if known is not None and at is not None and bucket in (None, at[0]):
        bucket = at[0]
        prefix = prefix or at[1]
        region = region or known.region
    if bucket is None:
        region = region or _region()
        if region is None:
            raise InvalidArgument(
                f"nobody knows in which bucket queue {queue_id} is",
                hint="--bucket names it, or --region, for the bucket spawn-results-<region>",
            )
        bucket = f"spawn-results-{region}"
    place = Place(
        bucket=bucket, prefix=(prefix or queue_id).strip("/"), region=region, profile=profile
    )
    return open_place(place, roots.objects)


@contextmanager
def asking(store: ObjectStore) -> Iterator[None]:
    """Give whatever goes wrong with a replica a hint of what to do, and where it is."""
    try:
        yield
    except StoreError as error:
        error.hint = error.hint or (
            "try again later; --bucket, --region and AWS_ENDPOINT_URL say whom to ask"
        )
        raise
    except CorruptLog as error:
        where = f"this is the log at {store.location}"
        error.hint = f"{error.hint}; {where}" if error.hint else where
        raise


def _known(roots: Roots, queue_id: str) -> QueueStarted | None:
    """What a log here says of where the queue is: the queue's own, else the last kept aside."""
    kept = [each.events for each in reversed(queues.aside(roots, queue_id))]
    for path in [roots.queue(queue_id).events, *kept]:
        with suppress(SpawnError), read.opened(path) as connection:  # it may be what is damaged
            found = read.owner(connection)
            if found is not None:
                return found
    return None


def _region() -> str | None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if os.environ.get(name):
            return os.environ[name]
    return instance(os.environ).region
