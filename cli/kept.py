"""Small things that are kept in the user's cache folder, so that nobody need be asked again."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

import msgspec
from msgspec import Struct

S = TypeVar("S", bound=Struct)


def read(path: Path, kind: type[S]) -> S | None:
    """What was kept there; None where nothing is, or something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def write(path: Path, what: Struct) -> None:
    """Keep it, whole or not at all. No place, no error: it only spares questions."""
    part = path.with_name(f".{path.name}.{token_hex(4)}.part")
    with suppress(OSError):
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(msgspec.json.encode(what))
        part.replace(path)
