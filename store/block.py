"""A file of one block that is written before it is needed: a full disk cannot refuse what is
written over it later.

It is not fsynced: it must outlive processes, not the host.
"""

import os
from binascii import crc32

from spawn.store.files import regular

_HEAD = 16
_TRIES = 3
"""How often a block is read that another process may be writing over."""


def preallocate(path: str | os.PathLike[str], size: int, *, exclusive: bool = False) -> int:
    """Make an empty block and return the descriptor to write it with.

    Raises:
        OSError: The disk has no room for it; with `exclusive` also where the file exists.
    """
    only = os.O_EXCL if exclusive else 0
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | only, 0o644)
    try:
        os.pwrite(fd, bytes(size), 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def write(fd: int, body: bytes, size: int) -> None:
    """Write over a block of this size; `body` has at most `size` - 16 bytes.

    Raises:
        OSError: The block could not be written.
    """
    head = b"%08x%08x" % (crc32(body), len(body))
    os.pwrite(fd, (head + body).ljust(size, b"\0"), 0)


def read(path: str | os.PathLike[str], size: int) -> bytes | None:
    """Read what was written last; None when there is nothing valid."""
    for _ in range(_TRIES):
        try:
            with open(path, "rb", opener=regular) as file:
                block = file.read(size)
            checksum, length = int(block[:8], 16), int(block[8:_HEAD], 16)
        except (OSError, ValueError):
            return None
        body = block[_HEAD:][:length]
        if len(body) == length and crc32(body) == checksum:
            return body
    return None
