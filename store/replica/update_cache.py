"""Update a cache from its replica."""

from bisect import bisect_left

from msgspec import Struct

from spawn.core.errors import CorruptLog
from spawn.store.objects.interface import SmallObjects
from spawn.store.replica import read
from spawn.store.replica.cache import Cache
from spawn.store.replica.lease import LeaseSnapshot, read_lease


class CacheUpdate(Struct, frozen=True):
    """The result of an update."""

    seen: LeaseSnapshot | None
    """The lease; None if there is none."""
    differs: int = 0
    """The first event that differs from the cached one; 0 if none does."""


def update_cache(store: SmallObjects, cache: Cache) -> CacheUpdate:
    """Fetch the events that a cache lacks. Call this within `Cache.updating`.

    Without new events this reads the lease and lists once. The cache must match the store, by the
    lease's hash, the chain and the newest segment; otherwise the whole log is read again.

    Raises:
        CorruptLog: The store's log is incomplete, or ends before the cached one.
        StoreError: The store cannot be read; the events fetched so far are kept.
    """
    seen = read_lease(store)  # before the list, which then includes what the owner writes meanwhile
    if not cache.seq:
        _fetch(store, cache, seen)
        return CacheUpdate(seen)
    before = cache.seq
    try:
        _fetch(store, cache, seen)
        return CacheUpdate(seen)
    except CorruptLog:
        cache.truncate(before)
    fresh = cache.new_replacement()
    try:
        _fetch(store, fresh, seen)
        both = min(fresh.seq, before)
        if both < before and fresh.hash == cache.hash_at(both):
            error = read.ends_before(both, before)
            if cache.file is None:
                raise error
            raise error.with_hint(f"delete {cache.file}, which has them, to accept the shorter log")
    except BaseException:
        fresh.delete_file()
        raise
    differs = bisect_left(
        range(1, both + 1),
        True,
        key=lambda seq: fresh.hash_at(seq) != cache.hash_at(seq),
    )
    cache.replace_with(fresh)
    return CacheUpdate(seen, differs + 1 if differs < both else 0)


def _fetch(store: SmallObjects, cache: Cache, seen: LeaseSnapshot | None) -> None:
    """Fetch new events and check them against the lease.

    Raises:
        CorruptLog: The log is invalid; no fetched event is kept.
    """
    before = cache.seq
    lease = None if seen is None else seen.lease
    if lease is not None and 0 < lease.seq <= before:
        read.expect_head(seen, before, {lease.seq: cache.hash_at(lease.seq)})
        if lease.seq == before:
            cache.confirm()
    try:
        cache.extend(read.read(store, cache.queue_id, after=before, hash_=cache.hash, known=cache))
        at = lease.seq if lease is not None else 0
        hash_at = {at: cache.hash_at(at)} if 0 < at <= cache.seq else {}
        read.expect_head(seen, cache.seq, hash_at)
    except CorruptLog:
        cache.truncate(before)
        raise
    cache.confirm()
