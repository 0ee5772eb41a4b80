"""The queues of an instance by its tags and the cache, without connecting to it."""

from msgspec import Struct, structs

from spawn.cli.flags import Where
from spawn.cli.sources.instance_queue_location import TAG_QUEUE, TAG_RESULTS
from spawn.cli.ssh.last_contact import Remembered, recall
from spawn.store.aws.ec2_instances import Described
from spawn.store.objects.location import parse
from spawn.store.queue_dir.paths import Roots


class KnownQueue(Struct, frozen=True):
    """A queue and what is known of its place in S3. `alone`: it has no copy there."""

    queue: str
    where: Where
    alone: bool = False


def known_queues(found: Described, roots: Roots, where: Where) -> list[KnownQueue]:
    """The queues of an instance, newest first. Sends no request.

    Args:
        where: Names region and profile; its queue, bucket and prefix are ignored.
    """
    where = structs.replace(
        where,
        queue=None,
        from_s3=True,
        bucket=None,
        prefix=None,
        region=where.region or found.region,
    )
    kept = recall(roots, found.instance_id) or Remembered()
    tagged = found.tags.get(TAG_QUEUE, "")
    known = []
    if kept.queue and kept.queue != tagged:
        known.append(KnownQueue(kept.queue, where, kept.alone))
    if tagged:
        at = parse(found.tags.get(TAG_RESULTS, ""))
        in_s3 = structs.replace(where, bucket=at[0], prefix=at[1]) if at is not None else where
        known.append(KnownQueue(tagged, in_s3, kept.alone and kept.queue == tagged))
    return known
