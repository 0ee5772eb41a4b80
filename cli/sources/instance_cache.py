"""Extract facts about an instance from its queue's log, and cache them for later commands."""

from collections.abc import Iterable, Sequence

from msgspec import structs

from spawn.cli.flags import LocationFlags
from spawn.cli.sources import queue_location
from spawn.cli.ssh.last_contact import LastContact, load_last_contact, save_last_contact
from spawn.core.domain.codec import decode
from spawn.core.domain.events import QueueStarted
from spawn.core.domain.replay import Row
from spawn.store.objects.location import StoreLocation, parse_s3_uri
from spawn.store.queue_dir.paths import Roots


def host_keys_in_log(rows: Iterable[Row], instance_id: str) -> Sequence[str] | None:
    """The host keys in the newest epoch on this instance; None if the queue never started on it."""
    owners = (decode(raw, type_) for _, type_, raw, _ in rows if _starts_epoch(type_))
    found: Sequence[str] | None = None
    for each in owners:
        if each is not None and isinstance(each.data, QueueStarted):
            found = each.data.ssh_host_keys if each.data.instance_id == instance_id else found
    return found


def remember_queue(
    roots: Roots,
    instance_id: str,
    where: LocationFlags,
    owner: QueueStarted,
    queue_id: str,
    newest: bool,
) -> None:
    """Cache the place of a queue in S3, as its log on the instance names it.

    Args:
        owner: The event of the queue's current owner.
        newest: Whether it is the instance's default queue. If so, it is cached as that.
    """
    at = parse_s3_uri(owner.results_location)
    if newest:
        kept = load_last_contact(roots, instance_id) or LastContact()
        now = structs.replace(kept, queue=queue_id, has_no_copy=at is None)
        save_last_contact(roots, instance_id, now)
    if at is not None:
        region = where.region or owner.region
        found = StoreLocation(bucket=at[0], prefix=at[1], region=region, profile=where.profile)
        queue_location.save_place(roots, queue_id, found)


def remember_tagged_queue(roots: Roots, instance_id: str, queue_id: str) -> None:
    """Cache the queue named by an instance's tags, which EC2 drops an hour after termination."""
    kept = load_last_contact(roots, instance_id) or LastContact()
    if not kept.queue:
        save_last_contact(roots, instance_id, structs.replace(kept, queue=queue_id))


def _starts_epoch(type_: bytes | None) -> bool:
    return type_ in (None, b"QueueStarted", b"QueueResumed")
