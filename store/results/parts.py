"""The output of an attempt that still runs, or whose machine is gone: pieces in the object store.

A piece is named by where it begins in the stream, so that none is ever written over; the whole
stream takes their place when the attempt has ended.
"""

from collections.abc import Iterator
from pathlib import Path

from spawn.store.files import regular
from spawn.store.objects.port import Exists, NotThere, SmallObjects, list_all

FOLDER = "parts/"
_PIECE = 4 * 1024 * 1024
"""The largest piece, in bytes."""


def key(prefix: str, log: str, offset: int) -> str:
    """Name the piece of an attempt's stream that begins at a byte.

    Args:
        prefix: Of the attempt, with a trailing slash.
        log: `stdout.log` or `stderr.log`.
    """
    return f"{prefix}{FOLDER}{log}/{offset:016d}"


def send(store: SmallObjects, prefix: str, log: str, file: Path, at: int) -> int:
    """Bring what a stream has gained since byte `at`, as pieces; returns where it ends now.

    Raises:
        OSError: The file cannot be read.
        StoreError: The store fails; what was sent before stays.
    """
    with open(file, "rb", opener=regular) as stream:
        stream.seek(at)
        while data := stream.read(_PIECE):
            try:
                store.create(key(prefix, log, at), data)
                at += len(data)
            except Exists:  # an earlier runner's, or a request of ours whose answer was lost
                there = sum(size for _, size in pieces(store, prefix, log, at))
                if not there:
                    return at
                at += there
                stream.seek(at)
    return at


def pieces(store: SmallObjects, prefix: str, log: str, after: int = 0) -> Iterator[tuple[str, int]]:
    """The pieces of a stream that follow each other from byte `after` on: `(key, bytes)`.

    What lies behind a gap is left out, and so is whatever is no piece.
    """
    at = after
    folder = f"{prefix}{FOLDER}{log}/"
    for name, size in list_all(store, folder, key(prefix, log, after - 1) if after else ""):
        if name == key(prefix, log, at):
            yield name, size
            at += size


def read(store: SmallObjects, prefix: str, log: str, after: int = 0) -> Iterator[bytes]:
    """What the store has of a stream from byte `after` on, a piece at a time.

    Args:
        after: Where an earlier call ended: the sum of what it gave, from 0.
    """
    for name, _ in pieces(store, prefix, log, after):
        try:
            yield store.read(name).data
        except NotThere:
            return
