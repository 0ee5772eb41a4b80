"""The queues in a bucket, with a report of each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from operator import itemgetter
from typing import TypeVar

from msgspec import Struct

from spawn.cli.flags import LocationFlags
from spawn.cli.sources.listing import QueueEntry
from spawn.cli.sources.open_replica import cache_path
from spawn.cli.sources.queue_location import region_here, save_place
from spawn.cli.sources.replica import ReplicaQueue
from spawn.core.errors import CorruptLog, InvalidArgument, SpawnError
from spawn.store.objects.location import StoreLocation
from spawn.store.objects.s3 import S3Store
from spawn.store.queue_dir.paths import Roots
from spawn.store.replica.cache import Cache
from spawn.store.replica.submitted import read_submitted

AT_ONCE = 8
"""How many queues are read in parallel."""
_OURS = "_spawn"

A = TypeVar("A")
B = TypeVar("B")


class QueueFolder(Struct, frozen=True):
    """A folder of a bucket that holds a queue. `age` is seconds since submission; `error` says why
    its configuration cannot be read."""

    place: StoreLocation
    store: S3Store
    queue_id: str
    age: float
    error: str = ""


class Bucket:
    """A bucket, or a prefix in it, and the queues directly below; or the prefix of one queue.

    Raises:
        InvalidArgument: Neither a bucket nor a region is set.
    """

    def __init__(self, where: LocationFlags) -> None:
        region = where.region or (None if where.bucket else region_here())
        if where.bucket is None and region is None:
            raise InvalidArgument(
                "no bucket is set",
                hint="set --bucket, or --region for the bucket spawn-results-<region>",
            )
        self._place = StoreLocation(
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
        """Folders without a queue; set by `queues`."""

    @property
    def location(self) -> str:
        """The bucket's URL with the prefix and a trailing slash."""
        return self._store.location

    def queues(self) -> list[QueueFolder]:
        """List the queues, newest first: one list request, and one read for each folder.

        Raises:
            StoreError: A request failed.
        """
        names = list(self._store.folders())
        own = self._place.prefix
        prefixes = [f"{own}/{name}".strip("/") for name in names if name != _OURS]
        if own and _OURS in names:
            prefixes = [own]  # the other folders are its jobs
        found: list[QueueFolder] = []
        for prefix, folder in zip(prefixes, _parallel(self._read, prefixes), strict=True):
            if folder is None:
                self.others.append(f"{prefix}/")
            else:
                found.append(folder)
        return sorted(found, key=lambda folder: (folder.age, folder.queue_id))

    def entries(
        self, roots: Roots, queues: Sequence[QueueFolder], now: Callable[[], datetime]
    ) -> list[QueueEntry]:
        """Report the queues, newest first. A queue that cannot be read has an error instead."""
        found = list(_parallel(lambda folder: _entry(roots, folder, now), queues))
        # Times in the log are exact; those of the store have whole seconds.
        read = [(each.report.submitted_at, each) for each in found if each.report is not None]
        newest = [entry for _, entry in sorted(read, key=itemgetter(0), reverse=True)]
        return [*newest, *(entry for entry in found if entry.report is None)]

    def _read(self, prefix: str) -> QueueFolder | None:
        place = StoreLocation(
            bucket=self._place.bucket,
            prefix=prefix,
            region=self._place.region,
            profile=self._place.profile,
        )
        store = self._store.with_prefix(prefix)
        try:
            found = read_submitted(store)
        except CorruptLog as error:
            return QueueFolder(place, store, prefix, float("inf"), str(error))
        if found is None or found.config.queue_id is None:
            return None
        return QueueFolder(place, store, found.config.queue_id, found.age)


def _parallel(function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Apply a function to each item in parallel; results in the items' order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(function, items)


def _entry(roots: Roots, folder: QueueFolder, now: Callable[[], datetime]) -> QueueEntry:
    location = folder.place.location
    if folder.error:
        return QueueEntry(folder.queue_id, None, folder.error, location)
    source = ReplicaQueue(
        folder.queue_id,
        folder.store,
        Cache(folder.queue_id, cache_path(roots, folder.queue_id, folder.place)),
        say=lambda text: None,
    )
    try:
        source.refresh()
        report = source.summary(now())
    except SpawnError as error:
        return QueueEntry(folder.queue_id, None, str(error), location)
    save_place(roots, folder.queue_id, folder.place)
    return QueueEntry(folder.queue_id, report, location=location)
