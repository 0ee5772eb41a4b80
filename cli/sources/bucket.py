"""The queues of a bucket, a report each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from operator import itemgetter
from typing import TypeVar

from msgspec import Struct

from spawn.cli.flags import Where
from spawn.cli.sources.listing import Entry
from spawn.cli.sources.open_replica import cache_path
from spawn.cli.sources.place import region_here, remember
from spawn.cli.sources.replica import ReplicaQueue
from spawn.core.errors import CorruptLog, InvalidArgument, SpawnError
from spawn.store.objects.s3 import S3Store
from spawn.store.paths import Roots
from spawn.store.place import Place
from spawn.store.replica.cache import Cache
from spawn.store.replica.submitted import submitted

AT_ONCE = 8
"""Queues that are asked for at once."""
_OURS = "_spawn"

A = TypeVar("A")
B = TypeVar("B")


class Seen(Struct, frozen=True):
    """A folder of a bucket with a queue in it. `age` is seconds since it was submitted; `error`
    says why its configuration cannot be read."""

    place: Place
    store: S3Store
    queue_id: str
    age: float
    error: str = ""


class Bucket:
    """A place in a bucket, and the queues there: right below it, or it is one queue's own.

    Raises:
        InvalidArgument: Nobody knows the bucket.
    """

    def __init__(self, where: Where) -> None:
        region = where.region or (None if where.bucket else region_here())
        if where.bucket is None and region is None:
            raise InvalidArgument(
                "nobody knows which bucket",
                hint="--bucket names it, or --region, for the bucket spawn-results-<region>",
            )
        self._place = Place(
            bucket=where.bucket or f"spawn-results-{region}",
            prefix=(where.prefix or "").strip("/"),
            region=region,
            profile=where.profile,
        )
        assert self._place.bucket is not None
        self._store = S3Store(
            bucket=self._place.bucket,
            prefix=self._place.prefix,
            region=region,
            profile=where.profile,
        )
        self.others: list[str] = []
        """Folders without a queue, once `queues` was called."""

    @property
    def location(self) -> str:
        """Where it is, with a trailing slash."""
        return self._store.location

    def queues(self) -> list[Seen]:
        """The queues, newest first: a request for all, and one for each folder.

        Raises:
            StoreError: The bucket cannot be asked.
        """
        names = list(self._store.folders())
        own = self._place.prefix
        prefixes = [f"{own}/{name}".strip("/") for name in names if name != _OURS]
        if own and _OURS in names:
            prefixes = [own]  # what else is there are its jobs
        found: list[Seen] = []
        for prefix, seen in zip(prefixes, _each(self._look, prefixes), strict=True):
            if seen is None:
                self.others.append(f"{prefix}/")
            else:
                found.append(seen)
        return sorted(found, key=lambda seen: (seen.age, seen.queue_id))

    def entries(
        self, roots: Roots, queues: Sequence[Seen], now: Callable[[], datetime]
    ) -> list[Entry]:
        """Report queues, newest first. One that cannot be read says so and hides no other."""
        found = list(_each(lambda seen: _entry(roots, seen, now), queues))
        # The log knows better than the store, whose clock has whole seconds.
        read = [(each.report.submitted_at, each) for each in found if each.report is not None]
        newest = [entry for _, entry in sorted(read, key=itemgetter(0), reverse=True)]
        return [*newest, *(entry for entry in found if entry.report is None)]

    def _look(self, prefix: str) -> Seen | None:
        place = Place(
            bucket=self._place.bucket,
            prefix=prefix,
            region=self._place.region,
            profile=self._place.profile,
        )
        store = self._store.at(prefix)
        try:
            found = submitted(store)
        except CorruptLog as error:
            return Seen(place, store, prefix, float("inf"), str(error))
        if found is None or found.config.queue_id is None:
            return None
        return Seen(place, store, found.config.queue_id, found.age)


def _each(what: Callable[[A], B], all_: Iterable[A]) -> Iterator[B]:
    """Do something with each, some at once; in their order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(what, all_)


def _entry(roots: Roots, seen: Seen, now: Callable[[], datetime]) -> Entry:
    location = seen.place.location
    if seen.error:
        return Entry(seen.queue_id, None, seen.error, location)
    source = ReplicaQueue(
        seen.queue_id,
        seen.store,
        Cache(seen.queue_id, cache_path(roots, seen.queue_id, seen.place)),
        say=lambda text: None,
    )
    try:
        source.refresh()
        report = source.summary(now())
    except SpawnError as error:
        return Entry(seen.queue_id, None, str(error), location)
    remember(roots, seen.queue_id, seen.place)
    return Entry(seen.queue_id, report, location=location)
