"""The format of segments and packs: `<hash> <line>` per event."""

from collections.abc import Iterable, Iterator
from io import BytesIO

import msgspec
from msgspec import Struct

from spawn.core.domain import chain
from spawn.core.domain.replay import Row
from spawn.core.errors import CorruptLog


class _Seq(Struct):
    seq: int
    type: str


_seq = msgspec.json.Decoder(_Seq)
_NOT_AN_EVENT = (CorruptLog, msgspec.DecodeError, UnicodeError, RecursionError)
"""Errors that arbitrary bytes may cause."""


def encode(rows: Iterable[Row]) -> bytes:
    """Encode events as the contents of an object."""
    data = BytesIO()  # a join would hold every line in memory twice
    for _, _, line, hash_ in rows:
        data.write(chain.format_line(hash_, line))
        data.write(b"\n")
    return data.getvalue()


def decode(key: str, data: bytes, first: int) -> Iterator[Row]:
    """Decode the consecutive events of an object, from seq `first` on. Does not verify the chain.

    Raises:
        CorruptLog: The object is invalid or incomplete.
    """
    if not data.endswith(b"\n"):
        raise CorruptLog(f"{key} is incomplete", seq=first, why="its last line is cut off")
    for seq, exported in enumerate(data[:-1].split(b"\n"), first):
        yield parse(key, exported, seq)


def parse(key: str, exported: bytes, seq: int) -> Row:
    """Decode one event.

    Args:
        key: The object or file with the event, for messages.
        seq: The expected seq.

    Raises:
        CorruptLog: The line is not an event, or has another seq.
    """
    try:
        hash_, line = chain.parse_line(exported)
        head = _seq.decode(line)
        type_ = head.type.encode()
    except _NOT_AN_EVENT as error:
        raise CorruptLog(
            f"{key} contains an invalid event", seq=seq, why=f"at seq {seq}: {error}"
        ) from None
    if head.seq != seq:
        raise CorruptLog(
            f"{key} is not what was written", seq=seq, why=f"it has seq {head.seq} instead of {seq}"
        )
    return seq, type_, line, hash_
