"""The queues of an instance by its tags and the cache, without connecting to it."""

from msgspec import Struct, structs

from spawn.cli.flags import LocationFlags
from spawn.cli.sources.instance_queue_location import TAG_QUEUE, TAG_RESULTS
from spawn.cli.ssh.last_contact import LastContact, load_last_contact
from spawn.store.aws.ec2_instances import InstanceDescription
from spawn.store.objects.location import parse_s3_uri
from spawn.store.queue_dir.paths import Roots


class KnownQueue(Struct, frozen=True):
    """A queue and what is known of its place in S3. `alone`: it has no copy there."""

    queue: str
    where: LocationFlags
    alone: bool = False


def known_queues(
    found: InstanceDescription, roots: Roots, where: LocationFlags
) -> list[KnownQueue]:
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
    kept = load_last_contact(roots, found.instance_id) or LastContact()
    tagged = found.tags.get(TAG_QUEUE, "")
    known = []
    if kept.queue and kept.queue != tagged:
        known.append(KnownQueue(kept.queue, where, kept.has_no_copy))
    if tagged:
        at = parse_s3_uri(found.tags.get(TAG_RESULTS, ""))
        in_s3 = structs.replace(where, bucket=at[0], prefix=at[1]) if at is not None else where
        known.append(KnownQueue(tagged, in_s3, kept.has_no_copy and kept.queue == tagged))
    return known
