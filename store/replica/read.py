"""Read a log from an object store: packs, then the segments after them. All are verified.

Packs only save requests. If one is missing or ends within a segment, the reader continues with the
segment that has the next event, so that a log never seems to end where its packs end.
"""

from collections.abc import Iterator
from typing import Protocol

from spawn.core.domain import chain
from spawn.core.domain.replay import Row
from spawn.core.errors import CorruptLog
from spawn.store.objects.interface import PAGE, ObjectNotFound, SmallObjects, Unavailable
from spawn.store.replica import lines, names
from spawn.store.replica.lease import LeaseSnapshot

FEW = 8
"""Up to this many segments are read without listing packs."""
BACK = PAGE // 2
"""A search for the segment with an event starts this many events before: a segment has at least
one."""


class Cached(Protocol):
    """The part of a log that a reader has from an earlier read."""

    def size_from(self, seq: int) -> int | None:
        """Size in a segment of the events from a seq on, in bytes; None to read and compare the
        newest segment whatever its size."""
        ...

    def hash_at(self, seq: int) -> bytes:
        """The chain hash up to an event."""
        ...


def read(
    store: SmallObjects,
    queue_id: str,
    *,
    after: int = 0,
    hash_: bytes = b"",
    known: Cached | None = None,
) -> Iterator[Row]:
    """Read the events after a seq, in order, and verify the chain. Holds one pack in memory.

    Args:
        hash_: The chain hash up to `after`; empty for the whole log.
        known: What the reader has up to `after`. A segment that ends there is not read again, so
            that without new events this takes one list. Whatever is read of it must match.

    Raises:
        CorruptLog: An object was modified, truncated, swapped or deleted; names the object. Or the
            log does not match `known`, or ends before it.
        StoreError: The store fails, or an object was not received completely.
    """
    hash_ = hash_ or chain.genesis(queue_id)
    begin = after
    reached = 0
    for key, first, size, whole in _objects(store, after, known):
        if whole:
            reached = begin
            continue
        data = fetch(store, key, first)
        if size is not None:
            expect_size(key, data, size)
        for row in rows_of(key, first, data):
            reached = max(reached, row[0])
            if row[0] <= after:
                if known is not None and row[0] <= begin and known.hash_at(row[0]) != row[3]:
                    raise CorruptLog(
                        f"event {row[0]} is not what it was", seq=row[0], why=f"{key} has changed"
                    )
                continue
            hash_ = follow(key, row, after, hash_)
            after = row[0]
            yield row
    if known is not None and reached < begin:
        raise ends_before(reached, begin)


def ends_before(seq: int, known: int) -> CorruptLog:
    """The error for a log that has become shorter."""
    return CorruptLog(
        f"the log in the store ends with event {seq}",
        seq=seq + 1,
        why=f"this machine has read {known} events there before",
    )


def follow(key: str, row: Row, after: int, hash_: bytes) -> bytes:
    """Check that an event follows the previous one; returns the chain hash up to it.

    Args:
        key: The object with the event, for messages.
        after: The previous seq.
        hash_: The chain hash up to the previous event.

    Raises:
        CorruptLog: The event does not follow.
    """
    if row[0] != after + 1:
        raise CorruptLog(
            f"event {after + 1} is missing in the store",
            seq=after + 1,
            why=f"{key} starts with {row[0]}",
        )
    hash_ = chain.next_hash(hash_, row[2])
    if hash_ != row[3]:
        raise CorruptLog(
            f"event {row[0]} is not what was written",
            seq=row[0],
            why=f"in {key} its hash does not continue the chain",
        )
    return hash_


def expect_head(seen: LeaseSnapshot | None, seq: int, hash_at: dict[int, bytes]) -> None:
    """Check that a log contains the newest event of its lease.

    Args:
        seq: The log's newest event.
        hash_at: The chain hash by seq; has the lease's seq if the log has that event.

    Raises:
        CorruptLog: The log ends before that event, or has another one.
    """
    if seen is None or seen.lease.seq == 0:
        return
    lease = seen.lease
    if seq < lease.seq:
        raise CorruptLog(
            f"the log in the store ends with event {seq}",
            seq=seq + 1,
            why=f"its owner wrote event {lease.seq} there: segments are missing",
        )
    found = hash_at.get(lease.seq)
    if found is not None and found.hex() != lease.hash:
        raise CorruptLog(
            f"event {lease.seq} in the store is not the one that its owner wrote",
            seq=lease.seq,
            why="its hash differs from the lease's",
        )


def fetch(store: SmallObjects, key: str, first: int) -> bytes:
    """Read a listed object.

    Raises:
        CorruptLog: It no longer exists.
    """
    try:
        return store.read(key).data
    except ObjectNotFound:
        raise CorruptLog(f"{key} is gone", seq=first, why="it existed a moment ago") from None


def expect_size(key: str, data: bytes, size: int | None) -> None:
    """Check that an object was received completely: cut off between two lines, it would look valid.

    Args:
        size: The size that the store lists.

    Raises:
        Unavailable: The size differs.
    """
    if len(data) != size:
        raise Unavailable(f"{key} is incomplete", why=f"received {len(data)} of {size} bytes")


def rows_of(key: str, first: int, data: bytes) -> Iterator[Row]:
    """Decode the events of a segment or a pack.

    Raises:
        CorruptLog: The contents are invalid or do not match the key.
    """
    named = names.parse_pack(key)
    last = first - 1
    for row in lines.decode(key, data, first):
        last = row[0]
        yield row
    if named is not None and last != named[1]:
        raise CorruptLog(f"{key} is incomplete", seq=last + 1, why=f"it ends with event {last}")


def first_of(key: str) -> int:
    """The first seq of a segment.

    Raises:
        CorruptLog: The key is not a segment's.
    """
    first = names.parse_segment(key)
    if first is None:
        raise foreign(key)
    return first


def foreign(key: str) -> CorruptLog:
    """The error for an object that does not belong to the log."""
    return CorruptLog(f"{key} is not an object of the log", hint="delete it")


def _objects(
    store: SmallObjects, after: int, known: Cached | None
) -> Iterator[tuple[str, int, int | None, bool]]:
    """The objects to read, in order: `(key, first seq, size or None, whether it is cached)`."""
    at = after + 1
    page, end = _segments(store, at)
    if page and known is not None and _is_known(known, page[0], after):
        key, size = page.pop(0)
        yield key, first_of(key), size, True
        if not page and end:
            return
        if not page:
            page, end = _list(store, key)
    if len(page) > FEW or not page:
        for first, last in _packs(store):
            if last > after:
                yield names.pack(first, last), first, None, False
                at = last + 1
        if at > after + 1:
            page, end = _segments(store, at)
    while page:
        for key, size in page:
            yield key, first_of(key), size, False
        page, end = ([], True) if end else _list(store, page[-1][0])


def _is_known(known: Cached, segment: tuple[str, int], after: int) -> bool:
    """Whether the reader has all of a segment, judged by its size."""
    key, size = segment
    first = first_of(key)
    return first <= after and known.size_from(first) == size


def _packs(store: SmallObjects) -> Iterator[tuple[int, int]]:
    """The longest consecutive packs from the start of the log: first and last seq."""
    at = 1
    page: list[tuple[int, int]] = []
    end = False
    while True:
        if not end and (not page or page[-1][0] <= at):  # the next page may have more from `at`
            found = store.list(names.PACKS, names.before_packs(at))
            end = len(found) < PAGE
            page = [each for key, _ in found if (each := names.parse_pack(key)) is not None]
        here = [last for first, last in page if first == at]
        if not here:
            return
        yield at, max(here)
        at = max(here) + 1


def _segments(store: SmallObjects, at: int) -> tuple[list[tuple[str, int]], bool]:
    """List segments, from the one that has event `at` or would have it.

    Returns:
        The first of them, `(key, size)`, and whether these are all.
    """
    back = BACK
    while True:
        cursor = max(0, at - back)
        page, end = _list(store, names.segment(cursor))
        before = [each for each in page if first_of(each[0]) <= at]
        while len(before) == len(page) and not end:
            more, end = _list(store, page[-1][0])
            page = before[-1:] + more
            before = [each for each in page if first_of(each[0]) <= at]
        if before or not cursor:
            return page[max(0, len(before) - 1) :], end
        back *= 4  # the segment has many events


def _list(store: SmallObjects, after: str) -> tuple[list[tuple[str, int]], bool]:
    """A page of segments after a key, and whether it is the last."""
    found = store.list(names.LOG, after)
    return found, len(found) < PAGE
