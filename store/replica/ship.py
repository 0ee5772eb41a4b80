"""Upload the log to the object store, one segment at a time. The segments' keys are the fence."""

from collections.abc import Callable, Iterable

from spawn.core.domain.replay import Row
from spawn.store.failpoints import mark
from spawn.store.objects.interface import ObjectExists, ObjectNotFound, SmallObjects, Unavailable
from spawn.store.replica import lines, names, read
from spawn.store.replica.lease import Fenced

SEGMENT_BYTES = 4 * 1024 * 1024
"""Maximum bytes of lines in a segment, unless its first line alone is larger."""

Log = Callable[[int], Iterable[Row]]
"""Returns the durable events of the local log after a seq, in order."""


class Shipper:
    """Uploads one log.

    Args:
        seq: The newest event that is certainly in the store.
        hash_: The chain hash up to it.
        fence: Whether the store honors conditional writes. If not, each key is checked first.
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
        """The newest event in the store, with the chain hash up to it."""
        return self.seq, self.hash

    def ship(self) -> tuple[int, int] | None:
        """Upload new events as one segment. A segment that exists is compared with the local log.

        Returns:
            The first and last seq of the segment that is now in the store; None if there are no new
            events.

        Raises:
            Fenced: The store's log differs from the local one.
            CorruptLog: The object with the segment's key is not a segment.
        """
        rows = self._next()
        if not rows:
            return None
        first = rows[0][0]
        key = names.segment(first)
        mark("replica.shipping")
        try:
            if not self._fence and self._store.has(key):
                raise ObjectExists(key)
            self._store.create(key, lines.encode(rows))
        except ObjectExists:
            stored = self._compare(key, first)
            self.seq, self.hash = stored[-1][0], stored[-1][3]
        else:
            self.seq, self.hash = rows[-1][0], rows[-1][3]
        mark("replica.shipped")
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
        """Compare an existing segment with the local log. It is from an earlier try, perhaps with
        other bounds, or from another owner.

        Raises:
            CorruptLog: The object is not a segment, which does not prove another owner.
        """
        try:
            data = self._store.read(key).data
        except ObjectNotFound:
            raise Unavailable(f"{key} is gone", why="it existed a moment ago") from None
        stored = list(lines.decode(key, data, first))
        local_rows = iter(self._log(first - 1))
        for seq, _, line, hash_ in stored:
            local_row = next(local_rows, None)
            if local_row is None:
                raise Fenced(f"only the log in the store continues after event {seq - 1}")
            if (local_row[2], local_row[3]) != (line, hash_):
                raise Fenced(f"event {seq} in the store differs from the local one")
        listed = dict(self._store.list(names.LOG, names.segment(first - 1)))
        read.expect_size(key, data, listed.get(key))  # else the next starts within it
        return stored
