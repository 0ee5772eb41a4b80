"""How long a runner has owned its queue: a hint for the next one, should it die without a word.

A file beside the log and not an event: an event every ten seconds would say nothing else.
"""

from pathlib import Path

from msgspec import Struct

from spawn.store import kept

NAME = "owning.json"


class Owning(Struct, frozen=True):
    """`seconds` by a clock that never jumps, since the epoch began."""

    epoch: int
    seconds: float


def leave(folder: Path, owning: Owning) -> None:
    """Leave it in a queue's folder. A disk that is full is no error: it is but a hint."""
    kept.leave(folder / NAME, owning)


def find(folder: Path, epoch: int) -> float | None:
    """The seconds that the runner of this epoch told last; None when it left nothing."""
    found = kept.read(folder / NAME, Owning)
    return found.seconds if found and found.epoch == epoch and found.seconds >= 0 else None


def newest_epoch(folder: Path) -> int:
    """The newest epoch that began in a queue's folder, as far as this hint tells; 0 for none."""
    found = kept.read(folder / NAME, Owning)
    return 0 if found is None else found.epoch
