"""Copy many segments into one object, so that a reader needs few requests.

Packs are extra copies: nothing rests on one, and what is missing is read from segments. Within an
epoch they grow like the digits of a number: eight segments make a pack, four packs of a kind make
a larger one. At the ends of an epoch, and whenever a pack's fill has come since, the whole log is
packed, in pieces of one size: few small packs follow them, however long the log is.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile

from spawn.core.replay import Row
from spawn.store.failpoints import reached
from spawn.store.objects.port import Exists, SmallObjects
from spawn.store.replica import lines, names
from spawn.store.replica.ship import Log

SEGMENTS = 8
PACKS = 4
PACK_BYTES = 8 * 1024 * 1024
"""Bytes of lines in a pack, unless one line alone has more: readers hold one in memory."""
FEW = 4
"""A log of so few events is not worth a pack."""


class Packer:
    """Packs one epoch's segments. Each step is few requests, and may be repeated."""

    def __init__(self, store: SmallObjects, log: Log) -> None:
        self._store = store
        self._log = log
        self._stack: list[tuple[int, int, int]] = []
        """Neighbours: kind (0 is a segment), first and last seq."""
        self._size = 0
        """Bytes of lines in the packs of the stack."""
        self._owed = 0
        """Up to which seq the whole log is to be packed, since that did not succeed."""
        self._from = 1
        """Where the newest piece begins that may grow; those before are in the store."""

    def shipped(self, first: int, last: int) -> None:
        """Take note of a new segment."""
        self._stack.append((0, first, last))

    @property
    def due(self) -> bool:
        """Whether there is something to pack."""
        return self._owed > 0 or self._run() is not None

    def pack(self) -> None:
        """Make what is due, if anything is."""
        if self._owed:
            self.pack_all(self._owed)
            return
        run = self._run()
        if run is None:
            return
        kind, first, last = self._stack[-run][0], self._stack[-run][1], self._stack[-1][2]
        size = self._size
        if kind == 0:
            size += sum(len(row[2]) for row in self._rows(first, last))
        reached("replica.packing")
        if size <= PACK_BYTES:
            self._put(first, last)
            self._stack[-run:] = [(kind + 1, first, last)]
            self._size = size
        else:
            self.pack_all(last)
        reached("replica.packed")

    def pack_all(self, last: int) -> None:
        """Pack the whole log up to `last`, in pieces that are the same however long it grows.

        `last` ends a segment, other pieces may end within one. So the last piece comes first: the
        packs that follow each other from the log's beginning end with a segment at every moment.
        """
        if last < FEW:
            return
        self._owed = last
        pieces = list(self._pieces(last))
        for piece in reversed(pieces):
            if not self._store.has(names.pack(*piece)):
                self._put(*piece)
        self._owed = 0
        self._from = pieces[-1][0]
        self._stack = [each for each in self._stack if each[1] > last]
        self._size = 0

    def _run(self) -> int | None:
        """How many neighbours at the end of the stack are to become one."""
        if not self._stack:
            return None
        kind = self._stack[-1][0]
        enough = SEGMENTS if kind == 0 else PACKS
        run = 0
        for each in reversed(self._stack):
            if each[0] != kind:
                break
            run += 1
        return run if run >= enough else None

    def _pieces(self, last: int) -> Iterator[tuple[int, int]]:
        """The first and the last seq of each."""
        first = self._from
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
        with suppress(Exists):  # an earlier try of ours
            self._store.create(names.pack(first, last), lines.encode(self._rows(first, last)))
