"""What a queue's log tells of its instance, and what is kept of that for the next time."""

from collections.abc import Iterable, Sequence

from msgspec import structs

from spawn.cli.flags import Where
from spawn.cli.remote.address import Remembered, recall, remember
from spawn.cli.sources import place
from spawn.core.codec import decode
from spawn.core.events import QueueStarted
from spawn.core.replay import Row
from spawn.store.paths import Roots
from spawn.store.place import Place, parse


def host_keys(rows: Iterable[Row], instance_id: str) -> Sequence[str] | None:
    """The host keys that a log has of an instance, those of its newest epoch there; other
    instances that have owned the queue vouch for nothing. None: it has not begun there."""
    owners = (decode(raw, type_) for _, type_, raw, _ in rows if _owns(type_))
    found: Sequence[str] | None = None
    for each in owners:
        if each is not None and isinstance(each.data, QueueStarted):
            found = each.data.ssh_host_keys if each.data.instance_id == instance_id else found
    return found


def learn(
    roots: Roots,
    instance_id: str,
    where: Where,
    owner: QueueStarted,
    queue_id: str,
    newest: bool,
) -> None:
    """Keep where a queue is in S3, as its instance said it.

    Args:
        owner: The queue's.
        newest: Whether it is the one that the instance itself means: only that is kept as its.
    """
    at = parse(owner.results_location)
    if newest:
        kept = recall(roots, instance_id) or Remembered()
        now = structs.replace(kept, queue=queue_id, alone=at is None)
        remember(roots, instance_id, now)
    if at is not None:
        region = where.region or owner.region
        found = Place(bucket=at[0], prefix=at[1], region=region, profile=where.profile)
        place.remember(roots, queue_id, found)


def learn_tagged(roots: Roots, instance_id: str, queue_id: str) -> None:
    """Keep which queue an instance's tags name: they are gone an hour after the instance."""
    kept = recall(roots, instance_id) or Remembered()
    if not kept.queue:
        remember(roots, instance_id, structs.replace(kept, queue=queue_id))


def _owns(type_: bytes | None) -> bool:
    return type_ in (None, b"QueueStarted", b"QueueResumed")
