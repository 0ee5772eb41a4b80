"""A folder that nothing is written outside of, whatever names come from elsewhere."""

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
"""Where files are until they are whole. No job is called so."""
LONGEST_NAME = 255
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MODE = 0o777


class Inside:
    """A folder of a person's choice, made where it is missing; links below it are never followed.

    Raises:
        OSError: It cannot be made or opened.
    """

    def __init__(self, root: Path) -> None:
        self._made = [each for each in (root, *root.parents) if not each.exists()]
        root.mkdir(parents=True, exist_ok=True)
        self._root = os.open(root, _FOLDER)
        try:
            with _making(PARTS):
                self.parts = _enter_shared(self._root, PARTS)
        except BaseException:
            os.close(self._root)
            raise
        self.folds = _is_there(PARTS.upper(), self._root)
        """Whether two names that differ in case alone are one file here."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # something of an earlier try is in it, or another download is
            flock(self.parts, LOCK_EX | LOCK_NB)
            os.rmdir(PARTS, dir_fd=self._root)
        os.close(self.parts)
        os.close(self._root)
        with suppress(OSError):  # they are not empty
            for each in self._made:
                each.rmdir()

    @contextmanager
    def folder(self, names: tuple[str, ...]) -> Iterator[int]:
        """Open a folder below, made where it is missing.

        Raises:
            ValueError: A link, or a file, is in its way.
            OSError: It cannot be made.
        """
        here = os.dup(self._root)
        try:
            for depth, name in enumerate(names):
                with _making("/".join(names[: depth + 1])):
                    below = _enter(here, name)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)

    def part(self, name: str) -> tuple[int, str]:
        """Open the part of a file to be, locked; one that is there goes on.

        Args:
            name: For the file alone; the same again for another try.

        Returns:
            A descriptor to read and write, and the part's name in `parts`.
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
        """Make a link in a folder that `folder` has opened; returns whether it was there already.

        Raises:
            OSError: It cannot be made; a folder of that name is in its way.
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


def parts_of(name: str) -> tuple[str, ...]:
    """Take a name from outside apart.

    Raises:
        ValueError: It would lead out of a folder, or no file can be called so.
    """
    parts = tuple(name.split("/"))
    if not parts[0] or ".." in parts or "\0" in name:
        raise ValueError("its name leads out of the folder")
    if "" in parts or "." in parts:
        raise ValueError("no file can be called so")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        raise ValueError("its name is too long for a file")
    return parts


def expect_inside(folders: Sequence[str], target: str) -> None:
    """See that a link does not lead out of a folder, whatever other links are in it.

    A target may step up at its beginning alone: after a name it would step up from where a link of
    that name leads.

    Args:
        folders: Those that the link is in, below the one that it may not leave.

    Raises:
        ValueError: It leads out, or is none.
    """
    parts = [] if target == "." else target.split("/")
    up = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    if up > len(folders):
        raise ValueError("it leads out of the folder")
    if parts[up:]:
        parts_of("/".join(parts[up:]))


def folded(name: str) -> str:
    """The same for all names that a file system without regard to case takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _enter(here: int, name: str) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another thread was first
            os.mkdir(name, _MODE, dir_fd=here)
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=here)


def _enter_shared(here: int, name: str) -> int:
    """Open a folder that others use too, and that whoever comes last takes away."""
    while True:
        fd = _enter(here, name)
        flock(fd, LOCK_SH)
        if _is_named(fd, name, here):
            return fd
        os.close(fd)  # it was taken away a moment ago


def _is_named(fd: int, name: str, folder: int) -> bool:
    """Whether what is open still has its name: it may have been locked after it lost that."""
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (os.fstat(fd).st_dev, os.fstat(fd).st_ino)


@contextmanager
def _making(path: str) -> Iterator[None]:
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
