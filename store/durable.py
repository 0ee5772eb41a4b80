"""Make what was written survive a loss of power."""

import os
from pathlib import Path

MANY = 200
"""More files than this are flushed together, with all else that the machine has yet to write: each
alone costs a wait for the disk."""


def sync(path: Path | str) -> None:
    """Flush a file's content, or a folder's names, to the disk.

    Raises:
        OSError: It cannot be opened, or the disk fails.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
