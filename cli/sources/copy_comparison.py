"""Compare each queue of an instance with its copy in S3.

Both logs are read and compared; what the runner reports about the copy is not used.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from msgspec import structs

from spawn.cli.flags import LocationFlags
from spawn.cli.sources.feed import FeedQueue
from spawn.cli.sources.known_queues import KnownQueue, known_queues
from spawn.cli.sources.logged_instance import read_logged_instance
from spawn.cli.sources.open_feed import cache_path as feed_cache
from spawn.cli.sources.open_replica import open_replica
from spawn.cli.sources.replica import ReplicaQueue
from spawn.cli.ssh.access import instance_access
from spawn.cli.ssh.errors import RemoteError
from spawn.cli.ssh.reach import LogHints
from spawn.core.domain.codec import decode
from spawn.core.domain.events import JobStarted, QueueStarted
from spawn.core.domain.replay import Row
from spawn.core.errors import QueueNotFound, SpawnError
from spawn.core.reports.instance_loss import QueueCopy
from spawn.store.aws.ec2_instances import GONE, InstanceDescription
from spawn.store.feed.client import FeedClient
from spawn.store.feed.errors import FeedRefused, IncompatibleProtocol, NotAFeed
from spawn.store.feed.requests import feed_port
from spawn.store.objects.interface import StoreError, list_all
from spawn.store.objects.location import parse_s3_uri
from spawn.store.queue_dir.paths import Roots
from spawn.store.replica.cache import Cache

_NO_FEED = (RemoteError, StoreError, NotAFeed, IncompatibleProtocol, FeedRefused)
"""The instance's feed cannot be read, so only the copies in S3 are judged."""
_LAST = "metadata.json"
"""The last file uploaded of an attempt's output."""


def compare_copies(
    found: InstanceDescription, roots: Roots, where: LocationFlags
) -> list[QueueCopy]:
    """Compare every queue of an instance with its copy.

    If the feed does not answer, or does not list a known queue, only the copy is read.

    Args:
        where: Names the instance's region; neither a queue nor a bucket.
    """
    result: list[QueueCopy] = []
    answered = False
    if found.state not in GONE:
        with suppress(*_NO_FEED), _open_feed(found.instance_id, roots, where) as client:
            listed = client.queues().queues
            answered = True
            result = [
                _from_feed(client, each.queue_id, each.state, found.instance_id, roots, where)
                for each in listed
            ]
    names = {copy.queue_id for copy in result}
    others = [each for each in known_queues(found, roots, where) if each.queue not in names]
    result += [_from_replica(each, found, roots) for each in others]
    if not result and not answered:
        trouble = "its instance does not answer, and its queues are not known"
        return [QueueCopy(queue_id="unknown", unknown_why=trouble)]
    return result


@contextmanager
def _open_feed(instance_id: str, roots: Roots, where: LocationFlags) -> Iterator[FeedClient]:
    told = LogHints(
        host_keys=lambda: read_logged_instance(instance_id, roots, where).host_keys or ()
    )
    reach = instance_access(instance_id, roots, where, told=told)
    with (
        reach.tunnel(feed_port(os.environ)) as tunnel,
        FeedClient(lambda: tunnel.address, instance_id) as client,
    ):
        yield client


def _from_feed(
    client: FeedClient,
    queue_id: str,
    state: str,
    instance_id: str,
    roots: Roots,
    where: LocationFlags,
) -> QueueCopy:
    if state == "unreadable":
        return QueueCopy(queue_id=queue_id, unknown_why=f"its log on {instance_id} cannot be read")
    cache = Cache(queue_id, feed_cache(roots, queue_id, client.name))
    source = FeedQueue(queue_id, client, cache, say=_discard)
    try:
        source.refresh()
        owner = source.state.owner
        known = QueueCopy(
            queue_id=queue_id, state=source.state, seq=source.seq, alive=source.runner_alive()
        )
        at = None if owner is None else parse_s3_uri(owner.results_location)
        if owner is None and not source.runner_alive():
            return structs.replace(known, state=None)  # submitted there but never started
        if owner is None or at is None:
            return known
        in_s3 = structs.replace(
            where,
            from_s3=True,
            bucket=at[0],
            prefix=at[1],
            region=owner.region or where.region,
            place_typed=True,
        )
        copy = _compare(known, source, in_s3, instance_id, roots)
    except SpawnError as error:
        return QueueCopy(queue_id=queue_id, unknown_why=str(error))
    return copy


def _compare(
    known: QueueCopy, source: FeedQueue, where: LocationFlags, instance_id: str, roots: Roots
) -> QueueCopy:
    """Compare the log that the instance serves with the log in S3."""
    replica = open_replica(roots, known.queue_id, where, say=_discard)
    location = replica.objects().location
    try:
        replica.refresh()
    except QueueNotFound:
        return structs.replace(known, location=location)
    if replica.seq > known.seq:  # another machine owns it now, or it has continued here since
        known = structs.replace(known, state=replica.state, seq=replica.seq)
    shared = min(replica.seq, source.seq)
    if _hash_at(source.rows(), shared) != _hash_at(replica.rows(), shared):
        return structs.replace(known, unknown_why=f"the log at {location} is a different one")
    return _with_store(known, replica, instance_id)


def _from_replica(known: KnownQueue, found: InstanceDescription, roots: Roots) -> QueueCopy:
    """Judge a queue by its copy only. A runner that has not handed the queue back may have more."""
    queue_id = known.queue
    if known.alone:
        return QueueCopy(
            queue_id=queue_id, unknown_why="it has no bucket, and its instance does not list it"
        )
    try:
        replica = open_replica(roots, queue_id, known.where, say=_discard)
        replica.refresh()
        copy = QueueCopy(
            queue_id=queue_id,
            state=replica.state if replica.seq else None,
            seq=replica.seq,
            alive=replica.runner_alive() and found.state not in GONE,
        )
        return _with_store(copy, replica, found.instance_id)
    except SpawnError as error:
        return QueueCopy(
            queue_id=queue_id, unknown_why=f"its instance does not list it, and {error}"
        )


def _with_store(known: QueueCopy, replica: ReplicaQueue, instance_id: str) -> QueueCopy:
    store = replica.objects()
    origin = replica.summary(datetime.now(UTC)).origin
    saved = {key.rpartition("/")[0] for key, _ in list_all(store, "") if key.endswith(f"/{_LAST}")}
    state = known.state
    running = set(state.running) if state is not None else set()
    unsaved = {
        prefix.partition("/")[0]
        for prefix in _attempts(replica.rows(), instance_id)
        if prefix not in saved
    }
    return structs.replace(
        known,
        location=store.location,
        stored=replica.seq,
        handed_back=origin is not None and origin.handed_back,
        unsaved=tuple(sorted(unsaved - running)),
    )


def _attempts(rows: Iterable[Row], instance_id: str) -> Iterator[str]:
    """The prefix in S3 of each attempt that an instance ran, without a trailing slash."""
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


def _discard(_: str) -> None:
    """Drop a message: `terminate` reports only what would be lost."""
