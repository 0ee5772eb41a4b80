"""Where an instance was when it was reached: so that the next time nobody has to be asked."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import msgspec
from msgspec import Struct

from spawn.core.ids import is_instance_id
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
    try:
        return msgspec.json.decode(_path(roots, instance_id).read_bytes(), type=Remembered)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def remember(roots: Roots, instance_id: str, how: Remembered) -> None:
    """Keep it. No place, no error: it only spares questions."""
    if recall(roots, instance_id) == how:
        return
    path = _path(roots, instance_id)
    part = path.with_name(f".{path.name}.{token_hex(4)}.part")
    with suppress(OSError):
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(msgspec.json.encode(how))
        part.replace(path)


def _path(roots: Roots, instance_id: str) -> Path:
    assert is_instance_id(instance_id), "it becomes a file's name"
    return roots.cache / "instances" / f"{instance_id}.json"
