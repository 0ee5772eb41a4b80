"""Open files that another program may have replaced: regular files only, and without waiting.

A FIFO would block the caller until another process opens it, a device such as `/dev/zero` never
ends, and a symbolic link may lead to either.
"""

import errno
import os
import stat
from contextlib import suppress

SMALL_BYTES = 1024 * 1024
"""Limit for a file that holds a few fields."""


class NotRegular(OSError):
    """A FIFO, a device, a socket, or a symbolic link where a file is expected."""


def regular(
    path: str | os.PathLike[str],
    flags: int,
    mode: int = 0o644,
    *,
    dir_fd: int | None = None,
    follow: bool = False,
) -> int:
    """Open a regular file; an `opener` of `open`.

    Args:
        mode: Of a file that `flags` create.
        follow: Whether the path may be a symbolic link, to a regular file.

    Raises:
        NotRegular: It is not a regular file.
        IsADirectoryError: It is a folder.
        OSError: It cannot be opened.
    """
    more = os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        fd = os.open(path, flags | more, mode, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket, or a FIFO to write to
            raise _not_regular(path, error.errno) from None
        raise
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        raise _not_regular(path, errno.EINVAL)
    return fd


def target(path: str, flags: int) -> int:
    """Open a regular file, or the one that a symbolic link leads to; an `opener` of `open`.

    Raises:
        OSError: See `regular`.
    """
    return regular(path, flags, follow=True)


def read_small(
    path: str | os.PathLike[str], limit: int = SMALL_BYTES, *, follow: bool = False
) -> bytes:
    """Read a whole file.

    Args:
        limit: Bytes that it may have.
        follow: See `regular`.

    Raises:
        OSError: It cannot be read, is not a regular file, or is larger.
    """
    with open(path, "rb", opener=target if follow else regular) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", os.fspath(path))
    return data


def replace(
    path: str | os.PathLike[str], data: bytes, *, mode: int = 0o644, durable: bool = False
) -> None:
    """Write a file as a whole, in place of what is there.

    Args:
        durable: Whether its content is flushed to the disk first; its folder is left to the caller.

    Raises:
        OSError: It cannot be written; the earlier file stays.
    """
    folder, name = os.path.split(os.fspath(path))
    part = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.part")
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(fd)
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def _not_regular(path: str | os.PathLike[str], number: int) -> NotRegular:
    return NotRegular(number, "not a regular file", os.fspath(path))
