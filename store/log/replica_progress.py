"""The progress of a queue's replica, which the runner writes as a hint for readers."""

from pathlib import Path

from msgspec import Struct

from spawn.store import json_files

NAME = "replica.json"


class ReplicaProgress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The progress of a replica.

    Attributes:
        seq: Newest event that is certainly in the store.
        trouble: Why the replica makes no progress, since the stamp `since`; empty if it does.
        kind: Kind of that error; see `StoreError`.
        lapsed: Whether no job starts until the lease is renewed.
        fence: Whether the store supports conditional writes.
    """

    location: str
    seq: int = 0
    established: bool = False
    trouble: str = ""
    kind: str = ""
    lapsed: bool = False
    since: str = ""
    fence: bool = True


def save_progress(folder: Path, lag: ReplicaProgress) -> None:
    """Write the hint to a queue's folder; ignores errors, such as a full disk."""
    json_files.write_hint(folder / NAME, lag)


def load_progress(folder: Path) -> ReplicaProgress | None:
    """Read the hint in a queue's folder; None if there is none."""
    return json_files.load_or_none(folder / NAME, ReplicaProgress)
