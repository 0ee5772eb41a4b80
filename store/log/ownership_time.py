"""How long a runner has owned its queue, as a hint for the next runner after a crash.

It is a file and not an event, because an event every ten seconds would bloat the log.
"""

from pathlib import Path

from msgspec import Struct

from spawn.store import json_files

NAME = "owning.json"


class OwnershipTime(Struct, frozen=True):
    """`seconds` since the start of the epoch, by a monotonic clock."""

    epoch: int
    seconds: float


def save_owned_time(folder: Path, owning: OwnershipTime) -> None:
    """Write the hint to a queue's folder; ignores errors, such as a full disk."""
    json_files.write_hint(folder / NAME, owning)


def load_owned_time(folder: Path, epoch: int) -> float | None:
    """Return the seconds of this epoch; None if there is no hint for it."""
    found = json_files.load_or_none(folder / NAME, OwnershipTime)
    return found.seconds if found and found.epoch == epoch and found.seconds >= 0 else None


def newest_epoch(folder: Path) -> int:
    """Return the epoch of the hint in a queue's folder; 0 if there is none."""
    found = json_files.load_or_none(folder / NAME, OwnershipTime)
    return 0 if found is None else found.epoch
