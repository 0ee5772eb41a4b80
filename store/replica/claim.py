"""Take a place in the object store for one queue, for ever."""

import msgspec
from msgspec import Struct

from spawn.core.config import canonical
from spawn.core.config.model import QueueConfig
from spawn.core.errors import CorruptLog, QueueExists, QueueNotFound
from spawn.store.objects.port import (
    Changed,
    Exists,
    NotThere,
    Object,
    SmallObjects,
    Unavailable,
)
from spawn.store.replica.lease import FORCE, TTL_SECONDS, Owned, Owner, look
from spawn.store.replica.names import QUEUE
from spawn.store.replica.submitted import parse_submitted

_NOBODY = ""
"""Who has claimed a queue that was submitted for a machine that is yet to boot."""


class _Claim(Struct):
    queue_id: str
    claimed_by: str = _NOBODY


def submit(store: SmallObjects, config: QueueConfig) -> None:
    """Create `queue.json` for a machine that is yet to boot. It has nobody's name in it: of those
    that claim it, the first begins the queue.

    Args:
        config: With the queue's id.

    Raises:
        QueueExists: The place is another queue's, or this id was used before. So it is after a try
            whose reply was lost: nobody can tell whose it was.
    """
    if _look(store, config) is None:  # a store that ignores conditional writes would overwrite
        try:
            store.create(QUEUE, _encode(config, _NOBODY))
            return
        except Exists:
            _look(store, config)
    raise _used(store, config)


def claim(store: SmallObjects, config: QueueConfig, *, by: str) -> bool:
    """Create `queue.json`: the configuration as it was submitted, and who begins it. One that was
    submitted for nobody yet gets our name, unless somebody else was first.

    It is created twice: a store that does not refuse the second ignores conditional writes, and
    the log has no fence there. A write that was not answered is looked for: it may have taken
    effect, and radosgw answers with 500 who loses a race.

    Args:
        config: With the queue's id.
        by: The machine and folder that the queue begins in; the same one may try again.

    Returns:
        Whether the store honours conditional writes.

    Raises:
        QueueExists: The place is another queue's, or this id was used elsewhere.
        StoreError: The store does not say whose it is. It may be ours by now, or come to be: the
            same again finds out.
    """
    encoded = _encode(config, by)
    created = False
    while True:
        found = _expect_ours(store, config, by)
        try:
            store.create(QUEUE, encoded)
        except Exists:
            _put_name(store, config, by, encoded)
            return True
        except Unavailable:
            if found is not None or _expect_ours(store, config, by) is None:
                raise
            # What was not there is there: ours, or nobody's, and the next try settles it.
        else:
            if created:
                return False
        created = True


def submitted(
    store: SmallObjects, queue_id: str, me: Owner, *, force: bool
) -> tuple[QueueConfig, bool]:
    """Read the configuration of a queue that was submitted and never began, and see that it may be
    begun.

    Returns:
        The configuration, and whether the store honours conditional writes.

    Raises:
        QueueNotFound: There is none.
        Owned: Who submitted it may be about to begin it, or somebody was first.
        CorruptLog: It cannot be read.
    """
    try:
        found = store.read(QUEUE)
    except NotThere:
        raise QueueNotFound(
            f"queue {queue_id} is not at {store.location}",
            hint="--bucket and --prefix say where it is",
        ) from None
    config, by = parse_submitted(store.location, found.data)
    if config.queue_id != queue_id:
        raise QueueNotFound(
            f"queue {queue_id} is not at {store.location}", why=f"{config.queue_id} is there"
        )
    if not force and by != me.place:
        seen = look(store)
        age = min(found.age, seen.age) if seen else found.age
        if age <= TTL_SECONDS and not (seen and seen.lease.handed_back):
            raise Owned(
                f"queue {queue_id} was submitted elsewhere {age:.0f} s ago",
                why="its machine may be about to begin it",
                hint=FORCE,
            )
    try:
        store.create(QUEUE, found.data)
    except Exists:
        if by == _NOBODY:  # its machine, should it boot yet, finds it taken
            try:
                _put_name(store, config, me.place, _encode(config, me.place))
            except QueueExists as error:
                raise Owned(str(error), hint=FORCE) from None
        return config, True
    return config, False


def _encode(config: QueueConfig, by: str) -> bytes:
    data = msgspec.json.decode(canonical.encode(config))
    data["claimed_by"] = by
    return msgspec.json.encode(data, order="sorted")


def _put_name(store: SmallObjects, config: QueueConfig, by: str, encoded: bytes) -> None:
    """Put our name into a `queue.json` that has nobody's. Who else does so at the same time has
    read the same bytes, and is refused by them.

    Whether refused or not answered: whose it is by now is read. Ours is ours, by whichever try.
    """
    tried = ""
    failure: Unavailable | None = None
    while True:
        found = _expect_ours(store, config, by)
        if found is None:
            what = f"{store.location}{QUEUE} is gone"
            raise Unavailable(what, why="it was there a moment ago")
        if _claimed(store, found).claimed_by == by:
            return
        if failure is not None and found.etag == tried:
            raise failure
        tried = found.etag
        try:
            store.replace(QUEUE, encoded, etag=tried)
            return
        except Changed:
            failure = Unavailable(
                f"{store.location} cannot be used",
                why=f"it says that {QUEUE} changed, and it did not",
            )
        except Unavailable as error:
            failure = error


def _look(store: SmallObjects, config: QueueConfig) -> Object | None:
    """Read `queue.json`, which must be this queue's, whoever claimed it; None when there is none.

    Raises:
        QueueExists: The place is another queue's.
    """
    try:
        found = store.read(QUEUE)
    except NotThere:
        return None
    queue_id = _claimed(store, found).queue_id
    if queue_id != config.queue_id:
        raise QueueExists(
            f"the results of queue {queue_id} are at {store.location}",
            why="two queues cannot keep theirs in one place",
            hint="another result_s3_prefix, or none, keeps them apart",
        )
    return found


def _expect_ours(store: SmallObjects, config: QueueConfig, by: str) -> Object | None:
    """Read `queue.json`, which must be this queue's, and ours or nobody's."""
    found = _look(store, config)
    if found is not None and _claimed(store, found).claimed_by not in (_NOBODY, by):
        raise _used(store, config)
    return found


def _claimed(store: SmallObjects, found: Object) -> _Claim:
    try:
        return msgspec.json.decode(found.data, type=_Claim)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptLog(f"{store.location}{QUEUE} cannot be read", why=str(error)) from None


def _used(store: SmallObjects, config: QueueConfig) -> QueueExists:
    return QueueExists(
        f"queue {config.queue_id} is at {store.location} already",
        why="it was submitted elsewhere, and an id is never used twice",
        hint=f"`spawn queue resume {config.queue_id} --from-s3` goes on with it, "
        "`--queue-id NEW` runs it anew",
    )
