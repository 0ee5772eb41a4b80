"""Open files that another program may have replaced: only regular files, without blocking.

A FIFO would block the caller until another process opens it, a device such as `/dev/zero` never
ends, and a symbolic link may lead to either.
"""

import errno
import os
import stat
from contextlib import suppress

SMALL_BYTES = 1024 * 1024
"""Default size limit, for files with a few fields."""


class NotRegular(OSError):
    """A FIFO, a device, a socket, or a symbolic link where a file is expected."""


def open_regular(
    path: str | os.PathLike[str],
    flags: int,
    mode: int = 0o644,
    *,
    dir_fd: int | None = None,
    follow: bool = False,
) -> int:
    """Open a regular file; usable as the `opener` of `open`.

    Args:
        mode: Mode of a file that `flags` create.
        follow: Whether to follow a symbolic link.

    Raises:
        NotRegular: The path is not a regular file.
        IsADirectoryError: The path is a folder.
        OSError: The file cannot be opened.
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


def open_following_links(path: str, flags: int) -> int:
    """Open a regular file and follow symbolic links; usable as the `opener` of `open`.

    Raises:
        OSError: As in `open_regular`.
    """
    return open_regular(path, flags, follow=True)


def read_small(
    path: str | os.PathLike[str], limit: int = SMALL_BYTES, *, follow: bool = False
) -> bytes:
    """Read a whole file.

    Args:
        limit: Maximum size in bytes.
        follow: Whether to follow a symbolic link.

    Raises:
        OSError: The file cannot be read, is not regular, or is too large.
    """
    with open(path, "rb", opener=open_following_links if follow else open_regular) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", os.fspath(path))
    return data


def replace_file(
    path: str | os.PathLike[str], data: bytes, *, mode: int = 0o644, durable: bool = False
) -> None:
    """Replace a file atomically.

    Args:
        durable: Whether to flush the content to disk first. The caller flushes the folder.

    Raises:
        OSError: The file cannot be written; the previous one is unchanged.
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


SYNC_ALL_THRESHOLD = 200
"""Number of files above which one `os.sync` is faster than flushing each file."""


def flush_to_disk(path: str | os.PathLike[str]) -> None:
    """Flush a file's content, or a folder's entries, to disk.

    Raises:
        OSError: It cannot be opened, or the disk fails.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
