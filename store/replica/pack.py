"""Copy many segments into one object, so that a reader needs few requests.

Packs are optional: a reader falls back to segments. Within an epoch packs have levels: eight
segments make a pack, four packs of a level make one of the next. At the start and the end of an
epoch, and after every `PACK_BYTES` of events, the whole log is packed in pieces of one size. Only a
few small packs follow them, however long the log is.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile

from spawn.core.domain.replay import Row
from spawn.store.failpoints import mark
from spawn.store.objects.interface import ObjectExists, SmallObjects
from spawn.store.replica import lines, names
from spawn.store.replica.ship import Log

SEGMENTS = 8
PACKS = 4
PACK_BYTES = 8 * 1024 * 1024
"""Maximum bytes of lines in a pack, unless a line alone is larger: readers hold one in memory."""
FEW = 4
"""A log with fewer events is not packed."""


class Packer:
    """Packs the segments of one epoch. Each step takes few requests and may be retried."""

    def __init__(self, store: SmallObjects, log: Log) -> None:
        self._store = store
        self._log = log
        self._stack: list[tuple[int, int, int]] = []
        """Adjacent segments and packs: level (0 is a segment), first and last seq."""
        self._size = 0
        """Bytes of lines in the packs of the stack."""
        self._pending_last = 0
        """The last seq of a `pack_all` that has not succeeded; 0 if none."""
        self._last_piece = 1
        """First seq of the newest piece, which may grow; the store has the earlier pieces."""

    def add_segment(self, first: int, last: int) -> None:
        """Record a new segment."""
        self._stack.append((0, first, last))

    @property
    def due(self) -> bool:
        """Whether a pack is due."""
        return self._pending_last > 0 or self._run() is not None

    def pack(self) -> None:
        """Create the pack that is due, if any."""
        if self._pending_last:
            self.pack_all(self._pending_last)
            return
        run = self._run()
        if run is None:
            return
        level, first, last = self._stack[-run][0], self._stack[-run][1], self._stack[-1][2]
        size = self._size
        if level == 0:
            size += sum(len(row[2]) for row in self._rows(first, last))
        mark("replica.packing")
        if size <= PACK_BYTES:
            self._put(first, last)
            self._stack[-run:] = [(level + 1, first, last)]
            self._size = size
        else:
            self.pack_all(last)
        mark("replica.packed")

    def pack_all(self, last: int) -> None:
        """Pack the whole log up to `last`, in pieces that stay the same as the log grows.

        `last` ends a segment, but other pieces may end within one. The last piece is created first,
        so that the consecutive packs from the log's start always end with a segment.
        """
        if last < FEW:
            return
        self._pending_last = last
        pieces = list(self._pieces(last))
        for piece in reversed(pieces):
            if not self._store.has(names.pack(*piece)):
                self._put(*piece)
        self._pending_last = 0
        self._last_piece = pieces[-1][0]
        self._stack = [each for each in self._stack if each[1] > last]
        self._size = 0

    def _run(self) -> int | None:
        """The number of entries at the end of the stack to merge; None if no pack is due."""
        if not self._stack:
            return None
        level = self._stack[-1][0]
        enough = SEGMENTS if level == 0 else PACKS
        run = 0
        for each in reversed(self._stack):
            if each[0] != level:
                break
            run += 1
        return run if run >= enough else None

    def _pieces(self, last: int) -> Iterator[tuple[int, int]]:
        """Yield the first and last seq of each piece."""
        first = self._last_piece
        size = 0
        for row in self._rows(first, last):
            if size and size + len(row[2]) > PACK_BYTES:
                yield first, row[0] - 1
                first, size = row[0], 0
            size += len(row[2])
        yield first, last

    def _rows(self, first: int, last: int) -> Iterator[Row]:
        return takewhile(lambda row: row[0] <= last, self._log(first - 1))

    def _put(self, first: int, last: int) -> None:
        with suppress(ObjectExists):  # an earlier try created it
            self._store.create(names.pack(first, last), lines.encode(self._rows(first, last)))
