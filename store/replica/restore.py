"""Read a log back from an object store: packs, then the segments after them. None is believed."""

from collections.abc import Iterator

from spawn.core import chain
from spawn.core.errors import CorruptLog
from spawn.core.replay import Row
from spawn.store.objects.port import PAGE, NotThere, ObjectStore
from spawn.store.replica import lines, names
from spawn.store.replica.lease import Seen


def read(store: ObjectStore, queue_id: str, *, after: int = 0, hash_: bytes = b"") -> Iterator[Row]:
    """Read the events after a seq, in order, and see that they continue the chain.

    Memory is that of one pack.

    Args:
        hash_: The chain's hash up to `after`; empty for the whole log.

    Raises:
        CorruptLog: An object was changed, cut, swapped, or is missing; it is named.
    """
    hash_ = hash_ or chain.genesis(queue_id)
    for key, first in _objects(store, after):
        for row in _rows(store, key, first):
            if row[0] <= after:
                continue
            if row[0] != after + 1:
                raise CorruptLog(
                    f"event {after + 1} is missing in the store",
                    seq=after + 1,
                    why=f"{key} begins with {row[0]}",
                )
            after = row[0]
            hash_ = chain.link(hash_, row[2])
            if hash_ != row[3]:
                raise CorruptLog(
                    f"event {after} is not what was written",
                    seq=after,
                    why=f"in {key} its hash does not continue the chain",
                )
            yield row


def segments(store: ObjectStore) -> Iterator[Row]:
    """Read every segment, for who audits what packs repeat. The chain is not checked."""
    after = ""
    while page := store.list(names.LOG, after):
        for key, _ in page:
            yield from _rows(store, key, _first(key))
        after = page[-1][0]


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


def _objects(store: ObjectStore, after: int) -> Iterator[tuple[str, int]]:
    """The objects to read, in order: `(key, first seq)`."""
    at = 1
    page: list[tuple[int, int]] = []
    end = False
    while True:
        here = [last for first, last in page if first == at]
        if not here and not end and (not page or page[-1][0] < at):
            page, end = _packs(store, at)
            here = [last for first, last in page if first == at]
        if not here:
            break
        last = max(here)
        if last > after:
            yield names.pack(at, last), at
        at = last + 1
    cursor = names.segment(max(at, after + 1) - 1)
    found = store.list(names.LOG, cursor)
    if at <= after and found and _first(found[0][0]) != after + 1:
        # `after` is within a segment: find that one.
        cursor = names.segment(at - 1)
        found = store.list(names.LOG, cursor)
    while found:
        for key, _ in found:
            yield key, _first(key)
        if len(found) < PAGE:
            return
        found = store.list(names.LOG, found[-1][0])


def _packs(store: ObjectStore, at: int) -> tuple[list[tuple[int, int]], bool]:
    """A page of packs that begin at seq `at` or later, and whether there are no more."""
    found = store.list(names.PACKS, names.before_packs(at))
    named = [names.parse_pack(key) for key, _ in found]
    return [each for each in named if each is not None], len(found) < PAGE


def _first(key: str) -> int:
    first = names.parse_segment(key)
    if first is None or first == 0:
        raise CorruptLog(f"{key} is none of the log's objects", hint="take it away")
    return first


def _rows(store: ObjectStore, key: str, first: int) -> Iterator[Row]:
    try:
        data = store.read(key).data
    except NotThere:
        raise CorruptLog(f"{key} is gone", seq=first, why="it was there a moment ago") from None
    named = names.parse_pack(key)
    last = first - 1
    for row in lines.decode(key, data, first):
        last = row[0]
        yield row
    if named is not None and last != named[1]:
        raise CorruptLog(f"{key} is not whole", seq=last + 1, why=f"it ends with event {last}")
