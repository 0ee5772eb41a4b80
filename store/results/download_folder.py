"""A folder for downloads. Whatever the names of the files, nothing is written outside it."""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import ELOOP, ENOTDIR
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from secrets import token_hex
from typing import Self

PARTS = ".spawn-parts"
"""The folder for partial files. No job can have this name."""
LONGEST_NAME = 255
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MODE = 0o777


class DownloadFolder:
    """A folder for downloads, created if missing. Links below it are never followed.

    Raises:
        OSError: The folder cannot be created or opened.
    """

    def __init__(self, root: Path) -> None:
        self._made = [each for each in (root, *root.parents) if not each.exists()]
        root.mkdir(parents=True, exist_ok=True)
        self._root = os.open(root, _FOLDER)
        try:
            with _expect_no_links(PARTS):
                self.parts = _enter_shared(self._root, PARTS)
        except BaseException:
            os.close(self._root)
            raise
        self.folds = _is_there(PARTS.upper(), self._root)
        """Whether the file system ignores case in names."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # it is not empty, or another download uses it
            flock(self.parts, LOCK_EX | LOCK_NB)
            os.rmdir(PARTS, dir_fd=self._root)
        os.close(self.parts)
        os.close(self._root)
        with suppress(OSError):  # they are not empty
            for each in self._made:
                each.rmdir()

    @contextmanager
    def folder(self, names: tuple[str, ...]) -> Iterator[int]:
        """Open a folder below, created if missing.

        Raises:
            ValueError: A link or a file is in the way.
            OSError: The folder cannot be created.
        """
        here = os.dup(self._root)
        try:
            for depth, name in enumerate(names):
                with _expect_no_links("/".join(names[: depth + 1])):
                    below = _enter(here, name)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)

    def part(self, name: str) -> tuple[int, str]:
        """Open and lock a partial file, or the one that an earlier try left.

        Args:
            name: Unique to the file, and the same for every try.

        Returns:
            A descriptor for reading and writing, and the partial file's name in `parts`.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        tried = f"{name}.part"
        while True:
            fd = os.open(tried, flags, 0o666, dir_fd=self.parts)
            try:
                flock(fd, LOCK_EX | LOCK_NB)
                if _is_named(fd, tried, self.parts):
                    return fd, tried
            except BlockingIOError:  # another download has it
                tried = f"{name}.{token_hex(4)}.part"
            os.close(fd)

    def link(self, folder: int, name: str, target: str) -> bool:
        """Create a link in a folder that `folder` has opened; returns whether it existed.

        Raises:
            OSError: The link cannot be created, for example because a folder has its name.
        """
        with suppress(OSError):
            if os.readlink(name, dir_fd=folder) == target:
                return True
        part = f"{token_hex(8)}.part"
        os.symlink(target, part, dir_fd=self.parts)
        try:
            os.rename(part, name, src_dir_fd=self.parts, dst_dir_fd=folder)
        except OSError:
            os.unlink(part, dir_fd=self.parts)
            raise
        return False


def split_name(name: str) -> tuple[str, ...]:
    """Split and validate an untrusted name.

    Raises:
        ValueError: The name leads out of the folder, or is not a valid file name.
    """
    parts = tuple(name.split("/"))
    if not parts[0] or ".." in parts or "\0" in name:
        raise ValueError("its name leads out of the folder")
    if "" in parts or "." in parts:
        raise ValueError("its name is not a valid file name")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        raise ValueError("its name is too long for a file")
    return parts


def expect_inside(folders: Sequence[str], target: str) -> None:
    """Check that a link does not lead out of a folder, whatever other links are in it.

    A target may have `..` only at its start: after a name it would apply to the target of a link
    with that name.

    Args:
        folders: The link's folders, below the one that it must not leave.

    Raises:
        ValueError: The target leads out of the folder, or is invalid.
    """
    parts = [] if target == "." else target.split("/")
    up = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    if up > len(folders):
        raise ValueError("it leads out of the folder")
    if parts[up:]:
        split_name("/".join(parts[up:]))


def fold_case(name: str) -> str:
    """A key that is equal for names that a case-insensitive file system treats as one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _enter(here: int, name: str) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another thread created it
            os.mkdir(name, _MODE, dir_fd=here)
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=here)


def _enter_shared(here: int, name: str) -> int:
    """Open a folder that several downloads share; the last one deletes it."""
    while True:
        fd = _enter(here, name)
        flock(fd, LOCK_SH)
        if _is_named(fd, name, here):
            return fd
        os.close(fd)  # it was deleted meanwhile


def _is_named(fd: int, name: str, folder: int) -> bool:
    """Whether an open file still has its name: it may have lost it before it was locked."""
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (os.fstat(fd).st_dev, os.fstat(fd).st_ino)


@contextmanager
def _expect_no_links(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (ELOOP, ENOTDIR):
            raise ValueError(f"a link or a file is in the way: {path}") from None
        raise


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True
