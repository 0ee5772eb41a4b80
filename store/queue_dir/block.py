"""A file of one preallocated block, so that a full disk cannot prevent a later write.

It is not fsynced: it must survive a crash of the process, not of the host.
"""

import os
from binascii import crc32

from spawn.store.files import open_regular

_HEAD = 16
_TRIES = 3
"""Number of reads; another process may be writing the block."""


def preallocate(path: str | os.PathLike[str], size: int, *, exclusive: bool = False) -> int:
    """Create an empty block and return a descriptor for writing it.

    Raises:
        OSError: The disk is full or, with `exclusive`, the file exists.
    """
    fd = open_regular(path, os.O_RDWR | os.O_CREAT | (os.O_EXCL if exclusive else 0))
    try:
        os.pwrite(fd, bytes(size), 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def write(fd: int, body: bytes, size: int) -> None:
    """Overwrite a block of `size` bytes; `body` has at most `size` - 16.

    Raises:
        OSError: The block cannot be written.
    """
    head = b"%08x%08x" % (crc32(body), len(body))
    os.pwrite(fd, (head + body).ljust(size, b"\0"), 0)


def read(path: str | os.PathLike[str], size: int) -> bytes | None:
    """Return the body written last; None if there is no valid one."""
    for _ in range(_TRIES):
        try:
            with open(path, "rb", opener=open_regular) as file:
                block = file.read(size)
            checksum, length = int(block[:8], 16), int(block[8:_HEAD], 16)
        except (OSError, ValueError):
            return None
        body = block[_HEAD:][:length]
        if len(body) == length and crc32(body) == checksum:
            return body
    return None
