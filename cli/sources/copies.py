"""What is known of each queue of an instance and of its copy in S3: the instance is asked, and S3.

The two logs are compared; what a runner believes of the copy does not count.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from msgspec import structs

from spawn.cli.flags import Where
from spawn.cli.remote.errors import RemoteError
from spawn.cli.remote.reach import Told
from spawn.cli.remote.way import reach_of
from spawn.cli.sources.feed import FeedQueue
from spawn.cli.sources.known_queues import Known, known_queues
from spawn.cli.sources.open_feed import cache_path as feed_cache
from spawn.cli.sources.open_replica import open_replica
from spawn.cli.sources.replica import ReplicaQueue
from spawn.cli.sources.vouched import vouched
from spawn.core.codec import decode
from spawn.core.errors import QueueNotFound, SpawnError
from spawn.core.events import JobStarted, QueueStarted
from spawn.core.feed.address import port
from spawn.core.replay import Row
from spawn.core.safety import Copy
from spawn.store.feed.client import FeedClient
from spawn.store.feed.errors import NotAFeed, OtherProtocol, Refused
from spawn.store.instances import GONE, Described
from spawn.store.objects.port import StoreError, list_all
from spawn.store.paths import Roots
from spawn.store.place import parse
from spawn.store.replica.cache import Cache

_SILENT = (RemoteError, StoreError, NotAFeed, OtherProtocol, Refused)
"""No feed of ours tells us of its queues: their copies are what there is to know."""
_LAST = "metadata.json"
"""What an attempt's folder in S3 has once its output is there."""


def copies(found: Described, roots: Roots, where: Where) -> list[Copy]:
    """Find out about every queue of an instance.

    Where it cannot be asked, or does not know of one that it is known to have, by the copy alone.

    Args:
        where: With the instance's region; no queue or place.
    """
    told: list[Copy] = []
    answered = False
    if found.state not in GONE:
        with suppress(*_SILENT), _feed(found.instance_id, roots, where) as client:
            listed = client.queues().queues
            answered = True
            told = [
                _of_feed(client, each.queue_id, each.state, found.instance_id, roots, where)
                for each in listed
            ]
    names = {copy.queue_id for copy in told}
    others = [each for each in known_queues(found, roots, where) if each.queue not in names]
    told += [_of_replica(each, found, roots) for each in others]
    if not told and not answered:
        trouble = "its instance does not answer, and no queue of it is known"
        return [Copy(queue_id="unknown", trouble=trouble)]
    return told


@contextmanager
def _feed(instance_id: str, roots: Roots, where: Where) -> Iterator[FeedClient]:
    told = Told(host_keys=lambda: vouched(instance_id, roots, where).host_keys or ())
    reach = reach_of(instance_id, roots, where, told=told)
    with (
        reach.tunnel(port(os.environ)) as tunnel,
        FeedClient(lambda: tunnel.address, instance_id) as client,
    ):
        yield client


def _of_feed(
    client: FeedClient, queue_id: str, state: str, instance_id: str, roots: Roots, where: Where
) -> Copy:
    if state == "unreadable":
        return Copy(queue_id=queue_id, trouble=f"its log on {instance_id} cannot be read")
    cache = Cache(queue_id, feed_cache(roots, queue_id, client.name))
    source = FeedQueue(queue_id, client, cache, say=_silent)
    try:
        source.refresh()
        owner = source.state.owner
        known = Copy(
            queue_id=queue_id, state=source.state, seq=source.seq, alive=source.runner_alive()
        )
        at = None if owner is None else parse(owner.results_location)
        if owner is None and not source.runner_alive():
            return structs.replace(known, state=None)  # submitted there, and never begun
        if owner is None or at is None:
            return known
        placed = structs.replace(
            where,
            from_s3=True,
            bucket=at[0],
            prefix=at[1],
            region=owner.region or where.region,
            typed=True,
        )
        copy = _compared(known, source, placed, instance_id, roots)
    except SpawnError as error:
        return Copy(queue_id=queue_id, trouble=str(error))
    return copy


def _compared(known: Copy, source: FeedQueue, where: Where, instance_id: str, roots: Roots) -> Copy:
    """Put beside what an instance says of a queue what S3 has of it."""
    replica = open_replica(roots, known.queue_id, where, say=_silent)
    location = replica.objects().location
    try:
        replica.refresh()
    except QueueNotFound:
        return structs.replace(known, location=location)
    if replica.seq > known.seq:  # it goes on elsewhere, or has gone on here meanwhile
        known = structs.replace(known, state=replica.state, seq=replica.seq)
    shared = min(replica.seq, source.seq)
    if _hash_at(source.rows(), shared) != _hash_at(replica.rows(), shared):
        return structs.replace(known, trouble=f"the log at {location} is another one")
    return _with_store(known, replica, instance_id)


def _of_replica(known: Known, found: Described, roots: Roots) -> Copy:
    """What the copy alone tells. A runner that has not handed the queue back may know more."""
    queue_id = known.queue
    if known.alone:
        return Copy(
            queue_id=queue_id, trouble="it has no bucket, and its instance does not tell of it"
        )
    try:
        replica = open_replica(roots, queue_id, known.where, say=_silent)
        replica.refresh()
        copy = Copy(
            queue_id=queue_id,
            state=replica.state if replica.seq else None,
            seq=replica.seq,
            alive=replica.runner_alive() and found.state not in GONE,
        )
        return _with_store(copy, replica, found.instance_id)
    except SpawnError as error:
        return Copy(queue_id=queue_id, trouble=f"its instance does not tell of it, and {error}")


def _with_store(known: Copy, replica: ReplicaQueue, instance_id: str) -> Copy:
    store = replica.objects()
    origin = replica.summary(datetime.now(UTC)).origin
    there = {key.rpartition("/")[0] for key, _ in list_all(store, "") if key.endswith(f"/{_LAST}")}
    state = known.state
    running = set(state.running) if state is not None else set()
    unsaved = {
        prefix.partition("/")[0]
        for prefix in _attempts(replica.rows(), instance_id)
        if prefix not in there
    }
    return structs.replace(
        known,
        location=store.location,
        stored=replica.seq,
        handed_back=origin is not None and origin.handed_back,
        unsaved=tuple(sorted(unsaved - running)),
    )


def _attempts(rows: Iterable[Row], instance_id: str) -> Iterator[str]:
    """Where the output of each attempt belongs that an instance made, without a trailing slash."""
    here = False
    for _, type_, line, _ in rows:
        if type_ not in (None, b"QueueStarted", b"QueueResumed", b"JobStarted"):
            continue
        event = decode(line, type_)
        if event is None:
            continue
        if isinstance(event.data, QueueStarted):
            here = event.data.instance_id == instance_id
        elif here and isinstance(event.data, JobStarted) and event.data.folder:
            yield f"{event.job_id}/attempts/{event.epoch}.{event.attempt}"


def _hash_at(rows: Iterable[Row], seq: int) -> bytes:
    return next((hash_ for number, _, _, hash_ in rows if number == seq), b"")


def _silent(_: str) -> None:
    """What would be said of a queue that is read for its own sake."""
