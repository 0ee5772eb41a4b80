"""The queues that an instance is known to have, without asking it: by its tags, and by what it said
when it was asked last."""

from msgspec import Struct, structs

from spawn.cli.flags import Where
from spawn.cli.remote.address import Remembered, recall
from spawn.cli.sources.whereabouts import TAG_QUEUE, TAG_RESULTS
from spawn.store.instances import Described
from spawn.store.paths import Roots
from spawn.store.place import parse


class Known(Struct, frozen=True):
    """A queue, and where its copy in S3 is, as far as that is known. `alone`: it has none."""

    queue: str
    where: Where
    alone: bool = False


def known_queues(found: Described, roots: Roots, where: Where) -> list[Known]:
    """The queues of an instance, the newest first; nothing is asked of anybody.

    Args:
        where: Where the instance is, and as whom to ask; its queue and place do not count.
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
        known.append(Known(kept.queue, where, kept.alone))
    if tagged:
        at = parse(found.tags.get(TAG_RESULTS, ""))
        there = structs.replace(where, bucket=at[0], prefix=at[1]) if at is not None else where
        known.append(Known(tagged, there, kept.alone and kept.queue == tagged))
    return known
