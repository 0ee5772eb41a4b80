"""Where an instance was when it was reached: so that the next time nobody has to be asked."""

from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from spawn.core.ids import is_instance_id
from spawn.store import kept
from spawn.store.paths import Roots


class Remembered(Struct, frozen=True, kw_only=True):
    """How an instance was reached. `host` may have become another's since; its id has not."""

    host: str = ""
    """Its address; empty where the SSH configuration had it."""
    region: str | None = None
    profile: str | None = None
    user: str = ""
    queue: str = ""
    """The queue that it had then."""
    alone: bool = False
    """Whether that queue has no copy in S3."""


def recall(roots: Roots, instance_id: str) -> Remembered | None:
    """How an instance was reached the last time; None when that is not known."""
    return kept.read(_path(roots, instance_id), Remembered)


def remember(roots: Roots, instance_id: str, how: Remembered) -> None:
    """Keep it. No place, no error: it only spares questions."""
    if recall(roots, instance_id) != how:
        kept.write(_path(roots, instance_id), how)


def launched_on(roots: Roots, queue_id: str) -> str:
    """The instance that was last known to have a queue; empty where none is."""
    found = []
    for path in (roots.cache / "instances").glob("i-*.json"):
        how = recall(roots, path.stem) if is_instance_id(path.stem) else None
        if how is not None and how.queue == queue_id:
            with suppress(OSError):
                found.append((path.stat().st_mtime, path.stem))
    return max(found, default=(0.0, ""))[1]


def _path(roots: Roots, instance_id: str) -> Path:
    assert is_instance_id(instance_id), "it becomes a file's name"
    return roots.cache / "instances" / f"{instance_id}.json"
