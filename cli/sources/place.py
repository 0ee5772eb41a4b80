"""Where a queue's log and results are: said, known from its log, remembered, or the region's."""

import os
from pathlib import Path

from msgspec import Struct

from spawn.cli.flags import Where
from spawn.core.errors import InvalidArgument
from spawn.core.ids import why_not_queue_id
from spawn.store import kept, queues
from spawn.store.log import read
from spawn.store.paths import Roots
from spawn.store.place import Place, parse


class Found(Struct, frozen=True):
    """A place, and whether nobody has named it: it is but where a queue would be."""

    place: Place
    guessed: bool = False


def place_of(roots: Roots, queue_id: str, where: Where) -> Found:
    """Find the place of a queue's log; nothing is asked of it.

    What was typed counts first; then what the queue's log on this machine says, also one that was
    kept aside; then what was remembered; then the environment; then the region's bucket, with the
    queue's id as prefix.

    Raises:
        InvalidArgument: It cannot be a queue, or nobody knows the bucket.
    """
    why = why_not_queue_id(queue_id)
    if why is not None:
        raise InvalidArgument(f"'{queue_id}' is not a queue id", why=why)
    bucket, prefix, region = where.bucket, where.prefix, where.region
    profile = where.profile
    known = _known(roots, queue_id)
    if known is not None and not where.typed:
        bucket = prefix = None  # those of the environment are for queues that nobody knows
    remembered = recall(roots, queue_id) if known is None else None
    if known is not None:
        location, its_region = known
        at = parse(location)
        if bucket is None and at is None:
            # An absolute path stays what it is below any folder.
            return Found(Place(prefix=prefix or location))
        if at is not None and bucket in (None, at[0]):
            bucket, prefix = at[0], prefix or at[1]
            region = region or its_region
    elif remembered is not None and (bucket in (None, remembered.bucket) or not where.typed):
        bucket = remembered.bucket
        prefix = prefix if prefix and where.typed else remembered.prefix
        region = region or remembered.region
        profile = profile or remembered.profile
    guessed = bucket is None
    if bucket is None:
        region = region or region_here()
        if region is None:
            raise InvalidArgument(
                f"nobody knows in which bucket queue {queue_id} is",
                hint="--bucket names it, or --region, for the bucket spawn-results-<region>",
            )
        bucket = f"spawn-results-{region}"
    prefix = (prefix or queue_id).strip("/")
    place = Place(bucket=bucket, prefix=prefix, region=region, profile=profile)
    return Found(place, guessed)


def remember(roots: Roots, queue_id: str, place: Place) -> None:
    """Keep the place of a queue that was found there, for the next command. No place, no error:
    it only spares flags."""
    if place.bucket is not None and recall(roots, queue_id) != place:
        kept.write(_path(roots, queue_id), place)


def recall(roots: Roots, queue_id: str) -> Place | None:
    """The place where a queue was found before; None when that is not known."""
    found = kept.read(_path(roots, queue_id), Place)
    return found if found is not None and found.bucket else None


def region_here() -> str | None:
    """The region that the environment names, or that this instance is in."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if os.environ.get(name):
            return os.environ[name]
    from spawn.store.instance import instance  # HTTP costs 20 ms to import

    return instance(os.environ).region


def _path(roots: Roots, queue_id: str) -> Path:
    return roots.cache / "places" / f"{queue_id}.json"


def _known(roots: Roots, queue_id: str) -> tuple[str, str | None] | None:
    """The location and region that a log here names: the queue's own, else the last kept aside."""
    aside = [each.events for each in reversed(queues.aside(roots, queue_id))]
    places = map(read.copy_location, [roots.queue(queue_id).events, *aside])
    return next((each for each in places if each is not None), None)
