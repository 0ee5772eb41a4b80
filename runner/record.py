"""How an attempt ended, in a block that was made before it began: a full disk cannot refuse it.

The block is not fsynced: it must outlive processes, not the host, whose loss is an end of its own.
"""

import marshal
import os
from binascii import crc32

from spawn.core.exit import Exit
from spawn.store.files import regular

_SIZE = 4096
_CHECKSUM = 8
_FORMAT = 4  # of `marshal`: see `spawn.runner.messages`


def preallocate(path: str | os.PathLike[str]) -> int:
    """Make the block and return the descriptor to write it with.

    Raises:
        OSError: There is no room for it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    os.pwrite(fd, bytes(_SIZE), 0)
    return fd


def write(fd: int, token: str, exit_: Exit) -> None:
    """Write the record over the block.

    Raises:
        OSError: The block could not be written.
    """
    body = marshal.dumps((token, exit_._asdict()), _FORMAT)
    head = b"%08x%08x" % (crc32(body), len(body))
    os.pwrite(fd, (head + body).ljust(_SIZE, b"\0"), 0)


def read(path: str | os.PathLike[str], token: str) -> Exit | None:
    """Read the record of the attempt with this token; None when there is no valid one."""
    try:
        with open(path, "rb", opener=regular) as file:
            block = file.read(_SIZE)
        checksum, size = int(block[:_CHECKSUM], 16), int(block[_CHECKSUM : 2 * _CHECKSUM], 16)
        body = block[2 * _CHECKSUM :][:size]
        if len(body) != size or crc32(body) != checksum:
            return None
        found, fields = marshal.loads(body)
    except (OSError, ValueError, EOFError, TypeError):
        return None
    if found != token:
        return None
    return Exit(**{name: value for name, value in fields.items() if name in Exit._fields})
