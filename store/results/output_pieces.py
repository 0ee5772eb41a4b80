"""The output of an attempt that still runs, or whose machine is gone: pieces in the object store.

A piece is named by its offset in the stream, so that none is ever overwritten. The whole stream
replaces the pieces when the attempt ends.
"""

from collections.abc import Iterator
from pathlib import Path

from spawn.store.files import open_regular
from spawn.store.objects.interface import ObjectExists, ObjectNotFound, SmallObjects, list_all

FOLDER = "parts/"
_PIECE = 4 * 1024 * 1024
"""Maximum size of a piece."""


def piece_key(prefix: str, log: str, offset: int) -> str:
    """The key of the piece at an offset of a stream.

    Args:
        prefix: The attempt's prefix, with a trailing slash.
        log: `stdout.log` or `stderr.log`.
    """
    return f"{prefix}{FOLDER}{log}/{offset:016d}"


def upload_pieces(store: SmallObjects, prefix: str, log: str, file: Path, at: int) -> int:
    """Upload a stream from offset `at` on, as pieces; returns the offset of its end.

    Raises:
        OSError: The file cannot be read.
        StoreError: The store fails; the pieces uploaded so far stay.
    """
    with open(file, "rb", opener=open_regular) as stream:
        stream.seek(at)
        while data := stream.read(_PIECE):
            try:
                store.create(piece_key(prefix, log, at), data)
                at += len(data)
            except ObjectExists:  # by an earlier runner, or a request whose response was lost
                existing = sum(size for _, size in list_pieces(store, prefix, log, at))
                if not existing:
                    return at
                at += existing
                stream.seek(at)
    return at


def list_pieces(
    store: SmallObjects, prefix: str, log: str, after: int = 0
) -> Iterator[tuple[str, int]]:
    """The consecutive pieces of a stream from offset `after` on: `(key, size)`.

    Pieces after a gap, and other objects, are skipped.
    """
    at = after
    folder = f"{prefix}{FOLDER}{log}/"
    for name, size in list_all(store, folder, piece_key(prefix, log, after - 1) if after else ""):
        if name == piece_key(prefix, log, at):
            yield name, size
            at += size


def read_pieces(store: SmallObjects, prefix: str, log: str, after: int = 0) -> Iterator[bytes]:
    """Read a stream from offset `after` on, piece by piece.

    Args:
        after: 0, or the offset at which an earlier call ended.
    """
    for name, _ in list_pieces(store, prefix, log, after):
        try:
            yield store.read(name).data
        except ObjectNotFound:
            return
