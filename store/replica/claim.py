"""Take a place in the object store for one queue, for ever."""

import msgspec
from msgspec import Struct

from spawn.core.config import canonical
from spawn.core.config.model import QueueConfig
from spawn.core.errors import CorruptLog, QueueExists, QueueNotFound
from spawn.store.objects.port import Exists, NotThere, ObjectStore
from spawn.store.replica.lease import FORCE, TTL_SECONDS, Owned, Owner, look
from spawn.store.replica.names import QUEUE


class _Claim(Struct):
    queue_id: str | None = None
    claimed_by: str = ""


def claim(store: ObjectStore, config: QueueConfig, *, by: str) -> bool:
    """Create `queue.json`: the configuration as it was submitted, and who submitted it.

    It is created twice: a store that does not refuse the second ignores conditional writes, and
    the log has no fence there.

    Args:
        config: With the queue's id.
        by: The machine and folder that the queue begins in; the same one may try again.

    Returns:
        Whether the store honours conditional writes.

    Raises:
        QueueExists: The place is another queue's, or this id was used elsewhere.
    """
    data = msgspec.json.decode(canonical.encode(config))
    data["claimed_by"] = by
    encoded = msgspec.json.encode(data, order="sorted")
    for _ in range(2):
        _expect_ours(store, config, by)
        try:
            store.create(QUEUE, encoded)
        except Exists:
            _expect_ours(store, config, by)
            return True
    return False


def submitted(
    store: ObjectStore, queue_id: str, me: Owner, *, force: bool
) -> tuple[QueueConfig, bool]:
    """Read the configuration of a queue that was submitted and never began, and see that it may be
    begun.

    Returns:
        The configuration, and whether the store honours conditional writes.

    Raises:
        QueueNotFound: There is none.
        Owned: Who submitted it may be about to begin it.
        CorruptLog: It cannot be read.
    """
    try:
        found = store.read(QUEUE)
    except NotThere:
        raise QueueNotFound(
            f"queue {queue_id} is not at {store.location}",
            hint="--bucket and --prefix say where it is",
        ) from None
    try:
        fields = msgspec.json.decode(found.data)
        by = fields.pop("claimed_by", "")
        config = canonical.decode(msgspec.json.encode(fields))
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise CorruptLog(f"{store.location}{QUEUE} cannot be read", why=str(error)) from None
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
        return config, True
    return config, False


def _expect_ours(store: ObjectStore, config: QueueConfig, by: str) -> None:
    try:
        found = msgspec.json.decode(store.read(QUEUE).data, type=_Claim)
    except NotThere:
        return
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptLog(f"{store.location}{QUEUE} cannot be read", why=str(error)) from None
    if found.queue_id != config.queue_id:
        raise QueueExists(
            f"the results of queue {found.queue_id} are at {store.location}",
            why="two queues cannot keep theirs in one place",
            hint="another result_s3_prefix, or none, keeps them apart",
        )
    if found.claimed_by not in ("", by):
        raise QueueExists(
            f"queue {config.queue_id} is at {store.location} already",
            why="it was submitted elsewhere, and an id is never used twice",
            hint=f"`spawn queue resume {config.queue_id} --from-s3` goes on with it, "
            "`--queue-id NEW` runs it anew",
        )
