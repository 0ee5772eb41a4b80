"""Events as they travel: a line each, `<hash> <line>`, in segments and in packs."""

from collections.abc import Iterable, Iterator
from io import BytesIO

import msgspec
from msgspec import Struct

from spawn.core import chain
from spawn.core.errors import CorruptLog
from spawn.core.replay import Row


class _Seq(Struct):
    seq: int
    type: str


_seq = msgspec.json.Decoder(_Seq)
_NOT_AN_EVENT = (CorruptLog, msgspec.DecodeError, UnicodeError, RecursionError)
"""Whatever somebody put there: bytes that are no text, brackets without an end."""


def encode(rows: Iterable[Row]) -> bytes:
    """Write events as one object holds them."""
    data = BytesIO()  # a join would hold every line twice
    for _, _, line, hash_ in rows:
        data.write(chain.export(hash_, line))
        data.write(b"\n")
    return data.getvalue()


def decode(key: str, data: bytes, first: int) -> Iterator[Row]:
    """Read the events of an object, which begin with seq `first` and follow each other.

    Whether they continue the chain is for who knows what came before.

    Raises:
        CorruptLog: The object is not one of ours, or not whole.
    """
    if not data.endswith(b"\n"):
        raise CorruptLog(f"{key} is not whole", seq=first, why="its last line has no end")
    for seq, exported in enumerate(data[:-1].split(b"\n"), first):
        yield parse(key, exported, seq)


def parse(key: str, exported: bytes, seq: int) -> Row:
    """Read one event as it travels.

    Args:
        key: The object or file that it is in.
        seq: The seq that it must have.

    Raises:
        CorruptLog: It is no event, or another one.
    """
    try:
        hash_, line = chain.parse(exported)
        head = _seq.decode(line)
        type_ = head.type.encode()
    except _NOT_AN_EVENT as error:
        raise CorruptLog(
            f"{key} holds something that is no event", seq=seq, why=f"at seq {seq}: {error}"
        ) from None
    if head.seq != seq:
        raise CorruptLog(
            f"{key} is not what was written", seq=seq, why=f"seq {head.seq} is where {seq} was"
        )
    return seq, type_, line, hash_
