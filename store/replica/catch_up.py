"""Bring what was read of a replica before up to what the store has now."""

from bisect import bisect_left

from msgspec import Struct

from spawn.core.errors import CorruptLog
from spawn.store.objects.port import SmallObjects
from spawn.store.replica import restore
from spawn.store.replica.cache import Cache
from spawn.store.replica.lease import Seen, look


class Caught(Struct, frozen=True):
    """What a look at the store has found, besides events."""

    seen: Seen | None
    """The lease; None when there is none."""
    differs: int = 0
    """The first event that is another than what was read before; 0 when nothing is."""


def catch_up(store: SmallObjects, cache: Cache) -> Caught:
    """Fetch what the log in a store has more than a cache, which is being updated.

    Without news that is a read of the lease and one list. What is cached must be what the store
    has, by the lease's hash, by the chain, and by the newest segment; else all is read anew.

    Raises:
        CorruptLog: The store's log is not whole, or ends before what was read of it before.
        StoreError: It cannot be read; what came until then is kept.
    """
    seen = look(store)  # first: what its owner writes meanwhile is then in what is listed
    if not cache.seq:
        _fetch(store, cache, seen)
        return Caught(seen)
    before = cache.seq
    try:
        _fetch(store, cache, seen)
        return Caught(seen)
    except CorruptLog:
        cache.cut(before)
    anew = cache.beside()
    try:
        _fetch(store, anew, seen)
        both = min(anew.seq, before)
        if both < before and anew.hash == cache.hash_at(both):
            error = restore.ends_before(both, before)
            if cache.kept_at is not None:
                error.hint = f"{cache.kept_at} has them; without it this machine forgets them"
            raise error
    except BaseException:
        anew.drop()
        raise
    differs = bisect_left(
        range(1, both + 1),
        True,
        key=lambda seq: anew.hash_at(seq) != cache.hash_at(seq),
    )
    cache.become(anew)
    return Caught(seen, differs + 1 if differs < both else 0)


def _fetch(store: SmallObjects, cache: Cache, seen: Seen | None) -> None:
    """Read what is new, and see that all of it is what the lease says.

    Raises:
        CorruptLog: It is not. Nothing of what was read is kept where that was not whole.
    """
    before = cache.seq
    lease = None if seen is None else seen.lease
    if lease is not None and 0 < lease.seq <= before:
        restore.expect_head(seen, before, {lease.seq: cache.hash_at(lease.seq)})
        if lease.seq == before:
            cache.trust()
    try:
        cache.extend(
            restore.read(store, cache.queue_id, after=before, hash_=cache.hash, known=cache)
        )
        at = lease.seq if lease is not None else 0
        there = {at: cache.hash_at(at)} if 0 < at <= cache.seq else {}
        restore.expect_head(seen, cache.seq, there)
    except CorruptLog:
        cache.cut(before)
        raise
    cache.trust()
