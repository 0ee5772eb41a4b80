"""Make what was written survive a loss of power."""

import os
from pathlib import Path


def sync(path: Path | str) -> None:
    """Flush a file's content, or a folder's names, to the disk.

    Raises:
        OSError: It cannot be opened, or the disk fails.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
