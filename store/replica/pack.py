"""Copy many segments into one object, so that a reader needs few requests.

Packs are extra copies: nothing rests on one, and what is missing is read from segments. Within an
epoch they grow like the digits of a number: eight segments make a pack, four packs of a kind make
a larger one. At the ends of an epoch the whole log is packed, in pieces of one size.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile

from spawn.core.replay import Row
from spawn.store.failpoints import reached
from spawn.store.objects.port import Exists, ObjectStore
from spawn.store.replica import lines, names
from spawn.store.replica.ship import Log

SEGMENTS = 8
PACKS = 4
PACK_BYTES = 8 * 1024 * 1024
"""Bytes of lines in a pack, unless one line alone has more: readers hold one in memory."""
FEW = 4
"""A log of so few events is not worth a pack."""


class Packer:
    """Packs one epoch's segments. Each step is one request, and may be repeated."""

    def __init__(self, store: ObjectStore, log: Log) -> None:
        self._store = store
        self._log = log
        self._stack: list[tuple[int, int, int]] = []
        """Neighbours: kind (0 is a segment), first and last seq."""

    def shipped(self, first: int, last: int) -> None:
        """Take note of a new segment."""
        self._stack.append((0, first, last))

    @property
    def due(self) -> bool:
        """Whether there is something to pack."""
        return self._run() is not None

    def pack(self) -> None:
        """Make the pack that is due, if one is."""
        run = self._run()
        if run is None:
            return
        kind, first, last = self._stack[-run][0], self._stack[-run][1], self._stack[-1][2]
        rows = list(takewhile(lambda row: row[0] <= last, self._log(first - 1)))
        size = sum(len(row[2]) for row in rows)
        if size <= PACK_BYTES:
            reached("replica.packing")
            self._put(rows)
            reached("replica.packed")
            self._stack[-run:] = [(kind + 1, first, last)]
        else:  # too much for one: they stay as they are
            self._stack[-run:] = []

    def pack_all(self, last: int) -> None:
        """Pack the whole log up to `last`, in pieces that are the same however long it grows."""
        if last < FEW:
            return
        for rows in self._pieces(last):
            key = names.pack(rows[0][0], rows[-1][0])
            if not self._store.has(key):
                self._put(rows)
        self._stack.clear()

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

    def _pieces(self, last: int) -> Iterator[list[Row]]:
        piece: list[Row] = []
        size = 0
        for row in takewhile(lambda row: row[0] <= last, self._log(0)):
            if piece and size + len(row[2]) > PACK_BYTES:
                yield piece
                piece, size = [], 0
            piece.append(row)
            size += len(row[2])
        if piece:
            yield piece

    def _put(self, rows: list[Row]) -> None:
        with suppress(Exists):  # an earlier try of ours
            self._store.create(names.pack(rows[0][0], rows[-1][0]), lines.encode(rows))
