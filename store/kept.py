"""Small JSON files that one process leaves for the next."""

from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from spawn.store import files

S = TypeVar("S", bound=Struct)


def load(path: Path, kind: type[S], limit: int = files.SMALL_BYTES) -> S:
    """Read a file of this kind.

    Raises:
        OSError: It cannot be read, is not a regular file, or is larger than `limit` bytes.
        msgspec.DecodeError: It holds something else.
    """
    data = files.read_small(path, limit)
    try:
        return msgspec.json.decode(data, type=kind)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None


def read(path: Path, kind: type[S]) -> S | None:
    """Read a file of this kind; None where there is none."""
    try:
        return load(path, kind)
    except (OSError, msgspec.DecodeError):
        return None


def leave(path: Path, what: Struct) -> None:
    """Write a hint, as a whole or not at all. A disk that is full is no error."""
    with suppress(OSError):
        files.replace(path, msgspec.json.encode(what), mode=0o600)


def write(path: Path, what: Struct) -> None:
    """Write a hint to the user's cache; its folders are created."""
    with suppress(OSError):
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
    leave(path, what)
