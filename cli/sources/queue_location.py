"""Find the place of a queue's log and results in S3."""

import os
from pathlib import Path

from msgspec import Struct

from spawn.cli.flags import LocationFlags
from spawn.core.errors import InvalidArgument
from spawn.core.values.ids import why_not_queue_id
from spawn.store import json_files, queues
from spawn.store.log import read
from spawn.store.objects.location import StoreLocation, parse_s3_uri
from spawn.store.queue_dir.paths import Roots


class FoundPlace(Struct, frozen=True):
    """A place. `guessed`: its bucket is only the region's default one."""

    place: StoreLocation
    guessed: bool = False


def find_place(roots: Roots, queue_id: str, where: LocationFlags) -> FoundPlace:
    """Find the place of a queue's log. Sends no request to it.

    In order of precedence: typed flags; the queue's log on this machine, including logs put aside;
    the cache; the environment; the region's default bucket with the queue id as prefix.

    Raises:
        InvalidArgument: The queue id is not valid, or the bucket is not known.
    """
    why = why_not_queue_id(queue_id)
    if why is not None:
        raise InvalidArgument(f"'{queue_id}' is not a queue id", why=why)
    bucket, prefix, region = where.bucket, where.prefix, where.region
    profile = where.profile
    known = _from_local_log(roots, queue_id)
    if known is not None and not where.place_typed:
        bucket = prefix = None  # the environment applies only to queues of unknown place
    remembered = load_place(roots, queue_id) if known is None else None
    if known is not None:
        location, its_region = known
        at = parse_s3_uri(location)
        if bucket is None and at is None:
            # `location` is an absolute path, which replaces the folder that it is joined to.
            return FoundPlace(StoreLocation(prefix=prefix or location))
        if at is not None and bucket in (None, at[0]):
            bucket, prefix = at[0], prefix or at[1]
            region = region or its_region
    elif remembered is not None and (bucket in (None, remembered.bucket) or not where.place_typed):
        bucket = remembered.bucket
        prefix = prefix if prefix and where.place_typed else remembered.prefix
        region = region or remembered.region
        profile = profile or remembered.profile
    guessed = bucket is None
    if bucket is None:
        region = region or region_here()
        if region is None:
            raise InvalidArgument(
                f"the bucket of queue {queue_id} is not known",
                hint="set --bucket, or --region for the bucket spawn-results-<region>",
            )
        bucket = f"spawn-results-{region}"
    prefix = (prefix or queue_id).strip("/")
    place = StoreLocation(bucket=bucket, prefix=prefix, region=region, profile=profile)
    return FoundPlace(place, guessed)


def save_place(roots: Roots, queue_id: str, place: StoreLocation) -> None:
    """Cache the place where a queue was found. A failed write is ignored."""
    if place.bucket is not None and load_place(roots, queue_id) != place:
        json_files.write_cache(_path(roots, queue_id), place)


def load_place(roots: Roots, queue_id: str) -> StoreLocation | None:
    """Read the cached place of a queue; None if there is none."""
    found = json_files.load_or_none(_path(roots, queue_id), StoreLocation)
    return found if found is not None and found.bucket else None


def region_here() -> str | None:
    """The region from the environment, else the region of the instance that this machine is."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if os.environ.get(name):
            return os.environ[name]
    from spawn.store.aws.this_machine import detect_instance  # HTTP costs 20 ms to import

    return detect_instance(os.environ).region


def _path(roots: Roots, queue_id: str) -> Path:
    return roots.cache / "places" / f"{queue_id}.json"


def _from_local_log(roots: Roots, queue_id: str) -> tuple[str, str | None] | None:
    """The location and region in a local log: the queue's log, else the newest one put aside."""
    aside = [each.events for each in reversed(queues.list_put_aside(roots, queue_id))]
    places = map(read.copy_location, [roots.queue(queue_id).events, *aside])
    return next((each for each in places if each is not None), None)
