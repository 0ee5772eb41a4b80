"""How far a queue's replica is: a hint that a runner leaves for status, and nothing else."""

from pathlib import Path

from msgspec import Struct

from spawn.store import kept

NAME = "replica.json"


class Lag(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`seq` is the newest event that is in the store for certain. `trouble` is why it does not get
    on, since the stamp `since`, and `kind` what sort of trouble: see `StoreError`. `lapsed`: no job
    starts until the lease is renewed. `fence`: whether the store honours conditional writes."""

    location: str
    seq: int = 0
    established: bool = False
    trouble: str = ""
    kind: str = ""
    lapsed: bool = False
    since: str = ""
    fence: bool = True


def leave(folder: Path, lag: Lag) -> None:
    """Leave it in a queue's folder. A disk that is full is no error: it is but a hint."""
    kept.leave(folder / NAME, lag)


def find(folder: Path) -> Lag | None:
    """Read what a runner left last; None when it left nothing."""
    return kept.read(folder / NAME, Lag)
