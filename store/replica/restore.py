"""Read a log back from an object store: packs, then the segments after them. None is believed.

Packs only spare requests. Where one is missing, or ends within a segment, the segment that holds
the next event is looked for, so that no log seems to end where only its packs do.
"""

from collections.abc import Iterator
from typing import Protocol

from spawn.core import chain
from spawn.core.errors import CorruptLog
from spawn.core.replay import Row
from spawn.store.objects.port import PAGE, NotThere, SmallObjects, Unavailable
from spawn.store.replica import lines, names
from spawn.store.replica.lease import Seen

FEW = 8
"""So few segments are read without a look at packs."""
BACK = PAGE // 2
"""Events before the one looked for, among which a list begins: a segment has at least one."""


class Known(Protocol):
    """What a reader has of a log from an earlier look."""

    def size_from(self, seq: int) -> int | None:
        """Bytes of the events from a seq on, as a segment holds them; None to have the newest
        segment read and compared whatever its size."""
        ...

    def hash_at(self, seq: int) -> bytes:
        """The chain's hash up to an event."""
        ...


def read(
    store: SmallObjects,
    queue_id: str,
    *,
    after: int = 0,
    hash_: bytes = b"",
    known: Known | None = None,
) -> Iterator[Row]:
    """Read the events after a seq, in order, and see that they continue the chain.

    Memory is that of one pack.

    Args:
        hash_: The chain's hash up to `after`; empty for the whole log.
        known: What the reader has up to `after`. A segment that ends there is not read again, and
            whatever is read of it must agree: one list is then all that no news costs.

    Raises:
        CorruptLog: An object was changed, cut, swapped, or is missing; it is named. Or the log is
            not the one that is known, or ends before.
        StoreError: The store fails, or an object did not come whole.
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
                        f"event {row[0]} is not what it was", seq=row[0], why=f"{key} has another"
                    )
                continue
            hash_ = follow(key, row, after, hash_)
            after = row[0]
            yield row
    if known is not None and reached < begin:
        raise ends_before(reached, begin)


def ends_before(seq: int, known: int) -> CorruptLog:
    """Say that a log has become shorter, which none ever does."""
    return CorruptLog(
        f"the log in the store ends with event {seq}",
        seq=seq + 1,
        why=f"this machine has read {known} events there before",
    )


def follow(key: str, row: Row, after: int, hash_: bytes) -> bytes:
    """See that an event follows the one before it; returns the chain's hash up to it.

    Args:
        key: The object that it is in.
        after: The seq before.
        hash_: The chain's hash up to that.

    Raises:
        CorruptLog: It does not.
    """
    if row[0] != after + 1:
        raise CorruptLog(
            f"event {after + 1} is missing in the store",
            seq=after + 1,
            why=f"{key} begins with {row[0]}",
        )
    hash_ = chain.link(hash_, row[2])
    if hash_ != row[3]:
        raise CorruptLog(
            f"event {row[0]} is not what was written",
            seq=row[0],
            why=f"in {key} its hash does not continue the chain",
        )
    return hash_


def expect_head(seen: Seen | None, seq: int, hash_at: dict[int, bytes]) -> None:
    """See that a log has what its lease says was there.

    Args:
        seq: The log's newest event.
        hash_at: The chain's hash at the lease's own seq, if the log gets that far.

    Raises:
        CorruptLog: It ends before, or is another log.
    """
    if seen is None or seen.lease.seq == 0:
        return
    lease = seen.lease
    if seq < lease.seq:
        raise CorruptLog(
            f"the log in the store ends with event {seq}",
            seq=seq + 1,
            why=f"its owner had written {lease.seq} there: segments are missing",
        )
    found = hash_at.get(lease.seq)
    if found is not None and found.hex() != lease.hash:
        raise CorruptLog(
            f"event {lease.seq} in the store is not the one that its owner wrote",
            seq=lease.seq,
            why="its hash is not the lease's",
        )


def fetch(store: SmallObjects, key: str, first: int) -> bytes:
    """Read an object that was listed.

    Raises:
        CorruptLog: It is there no more.
    """
    try:
        return store.read(key).data
    except NotThere:
        raise CorruptLog(f"{key} is gone", seq=first, why="it was there a moment ago") from None


def expect_size(key: str, data: bytes, size: int | None) -> None:
    """See that an object came whole: cut between two lines, it would seem to be a shorter one.

    Args:
        size: As the store lists it.

    Raises:
        Unavailable: It did not.
    """
    if len(data) != size:
        raise Unavailable(f"{key} did not come whole", why=f"{len(data)} of {size} bytes came")


def rows_of(key: str, first: int, data: bytes) -> Iterator[Row]:
    """The events of a segment or a pack.

    Raises:
        CorruptLog: It does not hold what its name says.
    """
    named = names.parse_pack(key)
    last = first - 1
    for row in lines.decode(key, data, first):
        last = row[0]
        yield row
    if named is not None and last != named[1]:
        raise CorruptLog(f"{key} is not whole", seq=last + 1, why=f"it ends with event {last}")


def first_of(key: str) -> int:
    """The seq that a segment begins with.

    Raises:
        CorruptLog: The key is not one of a segment.
    """
    first = names.parse_segment(key)
    if first is None:
        raise foreign(key)
    return first


def foreign(key: str) -> CorruptLog:
    """Name an object that does not belong where it is."""
    return CorruptLog(f"{key} is none of the log's objects", hint="take it away")


def _objects(
    store: SmallObjects, after: int, known: Known | None
) -> Iterator[tuple[str, int, int | None, bool]]:
    """The objects to read, in order: `(key, first seq, bytes where they are known, whether all of
    it is known)`."""
    at = after + 1
    page, end = _segments(store, at)
    if page and known is not None and _is_whole(known, page[0], after):
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


def _is_whole(known: Known, segment: tuple[str, int], after: int) -> bool:
    """Whether a segment ends with what is known, by its size."""
    key, size = segment
    first = first_of(key)
    return first <= after and known.size_from(first) == size


def _packs(store: SmallObjects) -> Iterator[tuple[int, int]]:
    """The longest packs that follow each other from the log's beginning: first and last seq."""
    at = 1
    page: list[tuple[int, int]] = []
    end = False
    while True:
        if not end and (not page or page[-1][0] <= at):  # more that begin here may be to come
            found = store.list(names.PACKS, names.before_packs(at))
            end = len(found) < PAGE
            page = [each for key, _ in found if (each := names.parse_pack(key)) is not None]
        here = [last for first, last in page if first == at]
        if not here:
            return
        yield at, max(here)
        at = max(here) + 1


def _segments(store: SmallObjects, at: int) -> tuple[list[tuple[str, int]], bool]:
    """Segments in order, from the one that holds event `at`, or would, if it is there.

    Returns:
        The first of them, `(key, bytes)`, and whether they are all.
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
        back *= 4  # that segment has many events


def _list(store: SmallObjects, after: str) -> tuple[list[tuple[str, int]], bool]:
    """A page of segments after a key, and whether it is the last."""
    found = store.list(names.LOG, after)
    return found, len(found) < PAGE
