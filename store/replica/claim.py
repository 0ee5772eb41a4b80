"""Claim a place in the object store for one queue, permanently."""

import msgspec
from msgspec import Struct

from spawn.core.config import canonical
from spawn.core.config.model import QueueConfig
from spawn.core.errors import CorruptLog, QueueExists, QueueNotFound
from spawn.store.objects.interface import (
    ETagMismatch,
    Object,
    ObjectExists,
    ObjectNotFound,
    SmallObjects,
    Unavailable,
)
from spawn.store.replica.lease import FORCE, TTL_SECONDS, OwnedElsewhere, Owner, read_lease
from spawn.store.replica.names import QUEUE
from spawn.store.replica.submitted import parse_submitted

_UNCLAIMED = ""
"""`claimed_by` of a queue that was submitted for a machine that has not booted yet."""


class _Claim(Struct):
    queue_id: str
    claimed_by: str = _UNCLAIMED


def submit(store: SmallObjects, config: QueueConfig) -> None:
    """Create an unclaimed `queue.json` for a machine that has not booted yet. The first machine
    that claims it starts the queue.

    Args:
        config: Must have the queue's id.

    Raises:
        QueueExists: Another queue has the place, or the id was used before, perhaps by an earlier
            try whose response was lost.
    """
    if _read_queue(store, config) is None:  # without conditional writes `create` overwrites
        try:
            store.create(QUEUE, _encode(config, _UNCLAIMED))
            return
        except ObjectExists:
            _read_queue(store, config)
    raise _already_exists(store, config)


def claim(store: SmallObjects, config: QueueConfig, *, by: str) -> bool:
    """Create `queue.json` with the submitted configuration and the claimant, or claim an unclaimed
    one.

    The object is created twice: a store that accepts the second write ignores conditional writes,
    and the log has no fence there. After a write without a response the object is read: the write
    may have taken effect, and radosgw may return 500 to the loser of a race.

    Args:
        config: Must have the queue's id.
        by: The claimant: the machine and folder that the queue starts in. It may retry.

    Returns:
        Whether the store honors conditional writes.

    Raises:
        QueueExists: Another queue has the place, or another claimant used the id.
        StoreError: The outcome is unknown. A retry determines it.
    """
    encoded = _encode(config, by)
    created = False
    while True:
        found = _read_unclaimed(store, config, by)
        try:
            store.create(QUEUE, encoded)
        except ObjectExists:
            _write_claimant(store, config, by, encoded)
            return True
        except Unavailable:
            if found is not None or _read_unclaimed(store, config, by) is None:
                raise
            # It exists now: claimed by `by` or unclaimed, and the next round settles it.
        else:
            if created:
                return False
        created = True


def take_over_submitted(
    store: SmallObjects, queue_id: str, me: Owner, *, force: bool
) -> tuple[QueueConfig, bool]:
    """Take over a queue that was submitted but never started.

    Returns:
        The configuration, and whether the store honors conditional writes.

    Raises:
        QueueNotFound: The queue does not exist.
        Owned: Its machine may be about to start it, or another machine claimed it first.
        CorruptLog: `queue.json` is invalid.
    """
    try:
        found = store.read(QUEUE)
    except ObjectNotFound:
        raise QueueNotFound(
            f"queue {queue_id} is not at {store.location}",
            hint="set --bucket and --prefix to its place",
        ) from None
    config, by = parse_submitted(store.location, found.data)
    if config.queue_id != queue_id:
        raise QueueNotFound(
            f"queue {queue_id} is not at {store.location}", why=f"{config.queue_id} is there"
        )
    if not force and by != me.place:
        seen = read_lease(store)
        age = min(found.age, seen.age) if seen else found.age
        if age <= TTL_SECONDS and not (seen and seen.lease.handed_back):
            raise OwnedElsewhere(
                f"queue {queue_id} was submitted elsewhere {age:.0f} s ago",
                why="its machine may be about to start it",
                hint=FORCE,
            )
    try:
        store.create(QUEUE, found.data)
    except ObjectExists:
        if by == _UNCLAIMED:  # its machine, if it still boots, must find it claimed
            try:
                _write_claimant(store, config, me.place, _encode(config, me.place))
            except QueueExists as error:
                raise OwnedElsewhere(str(error), hint=FORCE) from None
        return config, True
    return config, False


def _encode(config: QueueConfig, by: str) -> bytes:
    data = msgspec.json.decode(canonical.encode_config(config))
    data["claimed_by"] = by
    return msgspec.json.encode(data, order="sorted")


def _write_claimant(store: SmallObjects, config: QueueConfig, by: str, encoded: bytes) -> None:
    """Write the claimant into an unclaimed `queue.json`. Of concurrent claimants one succeeds, as
    all replace the same ETag.

    After a rejected write, or one without a response, the object is read again: it may name this
    claimant by an earlier try.
    """
    tried = ""
    failure: Unavailable | None = None
    while True:
        found = _read_unclaimed(store, config, by)
        if found is None:
            what = f"{store.location}{QUEUE} is gone"
            raise Unavailable(what, why="it existed a moment ago")
        if _claimed(store, found).claimed_by == by:
            return
        if failure is not None and found.etag == tried:
            raise failure
        tried = found.etag
        try:
            store.replace(QUEUE, encoded, etag=tried)
            return
        except ETagMismatch:
            failure = Unavailable(
                f"{store.location} cannot be used",
                why=f"it reports that {QUEUE} changed, but it did not",
            )
        except Unavailable as error:
            failure = error


def _read_queue(store: SmallObjects, config: QueueConfig) -> Object | None:
    """Read this queue's `queue.json`, whoever claimed it; None if there is none.

    Raises:
        QueueExists: Another queue has the place.
    """
    try:
        found = store.read(QUEUE)
    except ObjectNotFound:
        return None
    queue_id = _claimed(store, found).queue_id
    if queue_id != config.queue_id:
        raise QueueExists(
            f"the results of queue {queue_id} are at {store.location}",
            why="two queues cannot share a place",
            hint="use another result_s3_prefix, or none",
        )
    return found


def _read_unclaimed(store: SmallObjects, config: QueueConfig, by: str) -> Object | None:
    """Read this queue's `queue.json`, unclaimed or claimed by `by`; None if there is none.

    Raises:
        QueueExists: Another queue has the place, or another claimant used the id.
    """
    found = _read_queue(store, config)
    if found is not None and _claimed(store, found).claimed_by not in (_UNCLAIMED, by):
        raise _already_exists(store, config)
    return found


def _claimed(store: SmallObjects, found: Object) -> _Claim:
    try:
        return msgspec.json.decode(found.data, type=_Claim)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptLog(f"{store.location}{QUEUE} cannot be read", why=str(error)) from None


def _already_exists(store: SmallObjects, config: QueueConfig) -> QueueExists:
    return QueueExists(
        f"queue {config.queue_id} already exists at {store.location}",
        why="it was submitted elsewhere, and a queue id can be used only once",
        hint=f"`spawn queue resume {config.queue_id} --from-s3` resumes it, "
        "`--queue-id NEW` starts a new queue",
    )
