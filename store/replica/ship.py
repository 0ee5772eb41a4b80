"""Bring the log to the object store, a segment at a time. The segments' names are the fence."""

from collections.abc import Callable, Iterable

from spawn.core.replay import Row
from spawn.store.failpoints import reached
from spawn.store.objects.port import Exists, NotThere, SmallObjects, Unavailable
from spawn.store.replica import lines, names, restore
from spawn.store.replica.lease import Fenced

SEGMENT_BYTES = 4 * 1024 * 1024
"""Bytes of lines that one segment takes, unless its first line alone has more."""

Log = Callable[[int], Iterable[Row]]
"""The local log's events after a seq, in order: only durable ones."""


class Shipper:
    """Ships one log.

    Args:
        seq: The newest event that is in the store for certain.
        hash_: The chain's hash up to it.
        fence: Whether the store honours conditional writes; where it does not, we look first.
    """

    def __init__(
        self, store: SmallObjects, log: Log, *, seq: int, hash_: bytes, fence: bool = True
    ) -> None:
        self._store = store
        self._log = log
        self._fence = fence
        self.seq = seq
        self.hash = hash_

    @property
    def head(self) -> tuple[int, bytes]:
        """The newest event that is in the store, with the chain's hash up to it."""
        return self.seq, self.hash

    def ship(self) -> tuple[int, int] | None:
        """Bring what is new, as one segment; what is there already is compared with ours.

        Returns:
            The first and the last seq of a segment that is there now; None when nothing was new.

        Raises:
            Fenced: The store has another event in a place of ours.
            CorruptLog: What is in the place of our segment is none.
        """
        rows = self._next()
        if not rows:
            return None
        first = rows[0][0]
        key = names.segment(first)
        reached("replica.shipping")
        try:
            if not self._fence and self._store.has(key):
                raise Exists(key)
            self._store.create(key, lines.encode(rows))
        except Exists:
            there = self._compare(key, first)
            self.seq, self.hash = there[-1][0], there[-1][3]
        else:
            self.seq, self.hash = rows[-1][0], rows[-1][3]
        reached("replica.shipped")
        return first, self.seq

    def _next(self) -> list[Row]:
        rows: list[Row] = []
        size = 0
        for row in self._log(self.seq):
            size += len(row[2])
            if rows and size > SEGMENT_BYTES:
                break
            rows.append(row)
        return rows

    def _compare(self, key: str, first: int) -> list[Row]:
        """An earlier try of ours, perhaps grouped otherwise, or somebody else's.

        Raises:
            CorruptLog: What came is no segment, which proves no other owner.
        """
        try:
            data = self._store.read(key).data
        except NotThere:
            raise Unavailable(f"{key} is gone", why="it was there a moment ago") from None
        there = list(lines.decode(key, data, first))
        ours = iter(self._log(first - 1))
        for seq, _, line, hash_ in there:
            mine = next(ours, None)
            if mine is None:
                raise Fenced(f"the log in the store goes on after {seq - 1}, where ours ends")
            if (mine[2], mine[3]) != (line, hash_):
                raise Fenced(f"event {seq} in the store is another one")
        listed = dict(self._store.list(names.LOG, names.segment(first - 1)))
        restore.expect_size(key, data, listed.get(key))  # else the next would begin within it
        return there
