"""A file lock that the kernel releases when its holder exits.

It uses open-file-description locks: `F_OFD_GETLK` tests a lock without taking it. A test with
`flock` would take the lock, and look like a holder to another test.
"""

import fcntl
import os
import struct

from spawn.store.files import NotRegular, open_regular

_FLOCK = "hhqqi"  # short l_type, short l_whence, off_t l_start, off_t l_len, pid_t l_pid


def acquire(path: str | os.PathLike[str]) -> int | None:
    """Take the lock until the returned descriptor and all its copies are closed.

    The file is created if it does not exist.

    Returns:
        A close-on-exec descriptor, or None if another process holds the lock.
    """
    fd = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _request(fcntl.F_WRLCK))
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def is_held(path: str | os.PathLike[str]) -> bool:
    """Whether any process holds the lock. A missing or irregular file is not locked."""
    try:
        fd = open_regular(path, os.O_RDONLY)
    except (FileNotFoundError, IsADirectoryError, NotRegular):
        return False
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _request(fcntl.F_RDLCK))
    finally:
        os.close(fd)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _request(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
