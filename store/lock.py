"""A lock on a file that ends with its holder, however that ends.

Open-file-description locks: asking who holds one takes nothing, so that a question can never be
mistaken for a holder, which a probe by a `flock` of its own can.
"""

import fcntl
import os
import struct

from spawn.store.files import NotRegular, regular

_FLOCK = "hhqqi"  # short l_type, short l_whence, off_t l_start, off_t l_len, pid_t l_pid


def take(path: str | os.PathLike[str]) -> int | None:
    """Take the lock for as long as the returned descriptor, or a copy of it, is open.

    The file is made where it is not there.

    Returns:
        A descriptor that is not inherited by programs, or None when somebody holds the lock.
    """
    fd = regular(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _request(fcntl.F_WRLCK))
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def is_held(path: str | os.PathLike[str]) -> bool:
    """Whether somebody holds the lock. What is not there, or is no file, is held by nobody."""
    try:
        fd = regular(path, os.O_RDONLY)
    except (FileNotFoundError, IsADirectoryError, NotRegular):
        return False
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _request(fcntl.F_RDLCK))
    finally:
        os.close(fd)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _request(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
