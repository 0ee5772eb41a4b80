"""Which queue an instance has or had, and where that is in S3: said, remembered, or on its tags."""

import os

from msgspec import Struct, structs

from spawn.cli.flags import Where
from spawn.cli.remote.address import Remembered, recall
from spawn.cli.sources import place
from spawn.core.errors import QueueNotFound, SpawnError
from spawn.core.ids import why_not_queue_id
from spawn.store.paths import Roots
from spawn.store.place import parse

TAG_QUEUE = "spawn:queue-id"
TAG_RESULTS = "spawn:results-location"
"""Tags of an instance: the queue that it was launched for, and where that is in S3."""


class Whereabouts(Struct, frozen=True):
    """A queue's log in S3, as far as it is known. `tagged`: by the instance's tags alone."""

    queue: str
    where: Where
    tagged: bool = False


class Alone(SpawnError):
    """The queue has no copy in S3."""


class NotTagged(QueueNotFound):
    """Nobody knows of a queue of the instance: EC2 was asked for its tags, and it has none."""


def asked_queue(where: Where) -> str | None:
    """The queue that somebody named, by flag or environment."""
    return where.queue or os.environ.get("SPAWN_QUEUE") or None


def whereabouts(
    instance_id: str, roots: Roots, where: Where, *, ask_ec2: bool = True
) -> Whereabouts:
    """Find out which queue's log in S3 tells of an instance; nothing is asked of S3.

    Args:
        ask_ec2: Whether its tags may be looked at, where nobody else knows.

    Raises:
        Alone: Its queue has no copy in S3.
        NotTagged: It has no tag of a queue, and nothing else is known.
        SpawnError: Nobody knows, and its tags cannot be had.
    """
    kept = recall(roots, instance_id) or Remembered()
    queue = asked_queue(where) or kept.queue
    if kept.alone and queue == kept.queue and not (where.typed and where.bucket):
        raise Alone(
            f"its queue {queue} has no bucket",
            why="its log is on the instance alone",
            hint="--queue ID and --bucket NAME read another queue's log in S3",
        )
    where = structs.replace(
        where,
        from_s3=True,
        region=where.region or kept.region,
        profile=where.profile or kept.profile,
    )
    placed = bool(queue) and (
        (where.typed and bool(where.bucket)) or place.recall(roots, queue) is not None
    )
    if placed:
        return Whereabouts(queue, where)
    try:
        tags = _tags(instance_id, where) if ask_ec2 else {}
    except SpawnError:
        if not queue:
            raise
        tags = {}  # where queues are by default is worth a look
    tagged = tags.get(TAG_QUEUE, "")
    if not queue and not tagged:
        raise NotTagged(
            f"no queue of {instance_id} is known",
            why=f"it has no tag {TAG_QUEUE}" if ask_ec2 else "this machine has never read one",
            hint="--queue ID and --bucket NAME read a queue's log in S3",
        )
    if not queue:
        why = why_not_queue_id(tagged)
        if why is not None:
            raise SpawnError(
                f"the tag {TAG_QUEUE} of {instance_id} names no queue",
                why=f"'{tagged}': {why}",
                hint="--queue ID names one",
            )
    at = parse(tags.get(TAG_RESULTS, ""))
    if at is not None and queue in ("", tagged) and not where.typed:
        where = structs.replace(where, bucket=at[0], prefix=at[1])
    return Whereabouts(queue or tagged, where, tagged=not queue)


def _tags(instance_id: str, where: Where) -> dict[str, str]:
    from spawn.cli.sources.ec2 import configured
    from spawn.store.instances import describe  # boto3 costs 180 ms to import

    region = configured(where.region)
    found = describe(instance_id, region, where.profile)
    if found is None:
        raise SpawnError(
            f"EC2 knows no instance {instance_id}" + (f" in {region}" if region else ""),
            hint="--region and --profile say where it was; --queue ID names its queue",
        )
    return found.tags
