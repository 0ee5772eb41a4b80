"""How long a runner has owned its queue: a hint for the next one, should it die without a word.

A file beside the log and not an event: an event every ten seconds would say nothing else.
"""

from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

NAME = "owning.json"


class Owning(Struct, frozen=True):
    """`seconds` by a clock that never jumps, since the epoch began."""

    epoch: int
    seconds: float


def leave(folder: Path, owning: Owning) -> None:
    """Leave it in a queue's folder. A disk that is full is no error: it is but a hint."""
    part = folder / f".{NAME}.part"
    with suppress(OSError):
        part.write_bytes(msgspec.json.encode(owning))
        part.replace(folder / NAME)


def find(folder: Path, epoch: int) -> float | None:
    """The seconds that the runner of this epoch told last; None when it left nothing."""
    found = _read(folder)
    if found is None or found.epoch != epoch or found.seconds < 0:
        return None
    return found.seconds


def newest_epoch(folder: Path) -> int:
    """The newest epoch that began in a queue's folder, as far as this hint tells; 0 for none."""
    found = _read(folder)
    return 0 if found is None else found.epoch


def _read(folder: Path) -> Owning | None:
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Owning)
    except (OSError, msgspec.DecodeError):
        return None
