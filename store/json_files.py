"""Small JSON files, used as hints for later processes and as a cache."""

from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from spawn.store import files

S = TypeVar("S", bound=Struct)


def load(path: Path, kind: type[S], limit: int = files.SMALL_BYTES) -> S:
    """Load a file as `kind`.

    Raises:
        OSError: The file cannot be read, is not regular, or is larger than `limit` bytes.
        msgspec.DecodeError: The content is not valid for `kind`.
    """
    data = files.read_small(path, limit)
    try:
        return msgspec.json.decode(data, type=kind)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None


def load_or_none(path: Path, kind: type[S]) -> S | None:
    """Load a file as `kind`; None if it is missing or invalid."""
    try:
        return load(path, kind)
    except (OSError, msgspec.DecodeError):
        return None


def write_hint(path: Path, what: Struct) -> None:
    """Replace a file atomically; ignores errors, such as a full disk."""
    with suppress(OSError):
        files.replace_file(path, msgspec.json.encode(what), mode=0o600)


def write_cache(path: Path, what: Struct) -> None:
    """Replace a file in the user's cache and create its folders; ignores errors."""
    with suppress(OSError):
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
    write_hint(path, what)
