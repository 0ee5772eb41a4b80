"""How an attempt ended, in a block that was made before it began: a full disk cannot refuse it.

The block is not fsynced: it must outlive processes, not the host, whose loss is an end of its own.
"""

import os
from hashlib import sha256
from pathlib import Path

import msgspec

from spawn.core.decide import Exit

_SIZE = 4096
_DIGEST = 64


def preallocate(path: Path) -> int:
    """Make the block and return the descriptor to write it with.

    Raises:
        OSError: There is no room for it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    os.pwrite(fd, b"\n" * _SIZE, 0)
    return fd


def write(fd: int, token: str, exit_: Exit) -> None:
    """Write the record over the block.

    Raises:
        OSError: The block could not be written.
    """
    body = token.encode() + b" " + msgspec.json.encode(exit_)
    block = sha256(body).hexdigest().encode() + b" " + body
    os.pwrite(fd, block.ljust(_SIZE, b"\n"), 0)


def read(path: Path, token: str) -> Exit | None:
    """Read the record of the attempt with this token; None when there is no valid one."""
    try:
        block = path.read_bytes()
    except OSError:
        return None
    digest, body = block[:_DIGEST], block[_DIGEST + 1 :].rstrip(b"\n")
    if sha256(body).hexdigest().encode() != digest:
        return None
    found, _, exit_ = body.partition(b" ")
    if found != token.encode():
        return None
    try:
        return msgspec.json.decode(exit_, type=Exit)
    except msgspec.DecodeError:
        return None
