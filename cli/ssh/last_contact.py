"""Cache of how instances were last reached: JSON files in the cache directory."""

from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from spawn.core.values.ids import is_instance_id
from spawn.store import json_files
from spawn.store.queue_dir.paths import Roots


class LastContact(Struct, frozen=True, kw_only=True):
    """How an instance was last reached. EC2 may have given `host` to another instance since."""

    host: str = ""
    """Its address; empty where the SSH configuration names it."""
    region: str | None = None
    profile: str | None = None
    user: str = ""
    queue: str = ""
    """The queue it ran then; empty if unknown."""
    has_no_copy: bool = False
    """Whether that queue has no copy in S3."""


def load_last_contact(roots: Roots, instance_id: str) -> LastContact | None:
    """Read how an instance was last reached; None if unknown."""
    return json_files.load_or_none(_path(roots, instance_id), LastContact)


def save_last_contact(roots: Roots, instance_id: str, how: LastContact) -> None:
    """Store how an instance was reached. A failed write is ignored."""
    if load_last_contact(roots, instance_id) != how:
        json_files.write_cache(_path(roots, instance_id), how)


def launched_on(roots: Roots, queue_id: str) -> str:
    """The instance most recently known to run a queue; empty if none is known."""
    found = []
    for path in (roots.cache / "instances").glob("i-*.json"):
        how = load_last_contact(roots, path.stem) if is_instance_id(path.stem) else None
        if how is not None and how.queue == queue_id:
            with suppress(OSError):
                found.append((path.stat().st_mtime, path.stem))
    return max(found, default=(0.0, ""))[1]


def _path(roots: Roots, instance_id: str) -> Path:
    assert is_instance_id(instance_id), "the id becomes a file name"
    return roots.cache / "instances" / f"{instance_id}.json"
