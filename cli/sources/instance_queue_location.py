"""Find an instance's queue and its place in S3: from flags, the cache, or the instance's tags."""

import os

from msgspec import Struct, structs

from spawn.cli.flags import LocationFlags
from spawn.cli.sources import queue_location
from spawn.cli.ssh.last_contact import LastContact, load_last_contact
from spawn.core.errors import QueueNotFound, SpawnError
from spawn.core.values.ids import why_not_queue_id
from spawn.store.objects.location import parse_s3_uri
from spawn.store.queue_dir.paths import Roots

TAG_QUEUE = "spawn:queue-id"
TAG_RESULTS = "spawn:results-location"
"""Instance tags: the queue that the instance was launched for, and that queue's place in S3."""


class QueueLocation(Struct, frozen=True):
    """A queue and the flags that find its log in S3. `tagged`: only the instance's tags name it."""

    queue: str
    where: LocationFlags
    tagged: bool = False


class NoCopyInS3(SpawnError):
    """The queue has no copy in S3."""


class NoQueueKnown(QueueNotFound):
    """No queue of the instance is known: not from flags, cache or tags."""


def asked_queue(where: LocationFlags) -> str | None:
    """The queue that the user named, by flag or environment."""
    return where.queue or os.environ.get("SPAWN_QUEUE") or None


def locate_instance_queue(
    instance_id: str, roots: Roots, where: LocationFlags, *, ask_ec2: bool = True
) -> QueueLocation:
    """Find an instance's queue and its place in S3. Sends no request to S3.

    Args:
        ask_ec2: Whether to read the instance's tags if neither flags nor cache have the place.

    Raises:
        NoCopyInS3: The queue has no copy in S3.
        NoQueueKnown: No flag, cache entry or tag names a queue.
        SpawnError: The queue is not known, and the tags cannot be read.
    """
    kept = load_last_contact(roots, instance_id) or LastContact()
    queue = asked_queue(where) or kept.queue
    if kept.has_no_copy and queue == kept.queue and not (where.place_typed and where.bucket):
        raise NoCopyInS3(
            f"its queue {queue} has no bucket",
            why="its log is only on the instance",
            hint="--queue ID and --bucket NAME read another queue's log in S3",
        )
    where = structs.replace(
        where,
        from_s3=True,
        region=where.region or kept.region,
        profile=where.profile or kept.profile,
    )
    place_known = bool(queue) and (
        (where.place_typed and bool(where.bucket))
        or queue_location.load_place(roots, queue) is not None
    )
    if place_known:
        return QueueLocation(queue, where)
    try:
        tags = _tags(instance_id, where) if ask_ec2 else {}
    except SpawnError:
        if not queue:
            raise
        tags = {}  # the queue may be at the default place
    tagged = tags.get(TAG_QUEUE, "")
    if not queue and not tagged:
        raise NoQueueKnown(
            f"no queue of {instance_id} is known",
            why=f"it has no tag {TAG_QUEUE}" if ask_ec2 else "none is cached on this machine",
            hint="--queue ID and --bucket NAME read a queue's log in S3",
        )
    if not queue:
        why = why_not_queue_id(tagged)
        if why is not None:
            raise SpawnError(
                f"the tag {TAG_QUEUE} of {instance_id} is not a queue id",
                why=f"'{tagged}': {why}",
                hint="name the queue with --queue ID",
            )
    at = parse_s3_uri(tags.get(TAG_RESULTS, ""))
    if at is not None and queue in ("", tagged) and not where.place_typed:
        where = structs.replace(where, bucket=at[0], prefix=at[1])
    return QueueLocation(queue or tagged, where, tagged=not queue)


def _tags(instance_id: str, where: LocationFlags) -> dict[str, str]:
    from spawn.cli.sources.ec2 import region_or_default
    from spawn.store.aws.ec2_instances import describe  # boto3 costs 180 ms to import

    region = region_or_default(where.region)
    found = describe(instance_id, region, where.profile)
    if found is None:
        raise SpawnError(
            f"EC2 has no instance {instance_id}" + (f" in {region}" if region else ""),
            hint="set --region or --profile to where it was, or --queue to its queue",
        )
    return found.tags
