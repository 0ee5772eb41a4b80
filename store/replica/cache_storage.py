"""Storage of a cache: a file, or memory of this process."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

BLOCK = 256 * 1024
"""Bytes per read or write."""
_MAX_LINE = 128 * 1024
"""Maximum bytes of a line: no event is longer."""


class FileStorage:
    """Stores a cache in a file."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)

    @property
    def size(self) -> int:
        """The size in bytes."""
        return os.fstat(self._fd).st_size

    def is_at(self, path: Path) -> bool:
        """Whether `path` still names this file."""
        try:
            return os.path.samestat(os.fstat(self._fd), path.stat())
        except FileNotFoundError:
            return False

    def read(self, start: int, size: int) -> bytes:
        """Read `size` bytes from an offset."""
        found = b"".join(self._blocks(start, start + size))
        if len(found) < size:
            raise OSError(f"a cache was truncated at byte {start + len(found)}")
        return found

    def lines(self, start: int, end: int) -> Iterator[bytes]:
        """The lines between two offsets, without line breaks. An incomplete line is skipped."""
        rest = b""
        for block in self._blocks(start, end):
            *whole, rest = (rest + block).split(b"\n")
            yield from whole
            if len(rest) > _MAX_LINE:
                return

    def write(self, at: int, data: bytes | bytearray) -> None:
        """Write at an offset."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, at)
            view = view[done:]
            at += done

    def cut(self, end: int) -> None:
        """Truncate to `end` bytes."""
        os.ftruncate(self._fd, end)

    def _blocks(self, start: int, end: int) -> Iterator[bytes]:
        while start < end and (block := os.pread(self._fd, min(BLOCK, end - start), start)):
            start += len(block)
            yield block

    def __del__(self) -> None:
        with suppress(OSError, AttributeError):
            os.close(self._fd)


class MemoryStorage:
    """Stores a cache in memory."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = bytearray(data)

    def read(self, start: int, size: int) -> bytes:
        """Read `size` bytes from an offset."""
        return bytes(self._data[start : start + size])

    def lines(self, start: int, end: int) -> Iterator[bytes]:
        """The lines between two offsets, without line breaks."""
        while start < end:
            stop = self._data.index(b"\n", start)
            yield bytes(self._data[start:stop])
            start = stop + 1

    def write(self, at: int, data: bytes | bytearray) -> None:
        """Write at an offset."""
        self._data[at:] = data

    def cut(self, end: int) -> None:
        """Truncate to `end` bytes."""
        del self._data[end:]
