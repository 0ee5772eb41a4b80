"""What a cache keeps its bytes in: a file of ours, or the memory of this process."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

BLOCK = 256 * 1024
"""Bytes that are read or written at once."""
_LONGEST = 128 * 1024
"""Bytes that a line may have here: more is no event."""


class File:
    """Bytes in a file of ours."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)

    @property
    def size(self) -> int:
        """Bytes."""
        return os.fstat(self._fd).st_size

    def is_at(self, path: Path) -> bool:
        """Whether it still is the file that is called so."""
        try:
            return os.path.samestat(os.fstat(self._fd), path.stat())
        except FileNotFoundError:
            return False

    def read(self, start: int, size: int) -> bytes:
        """Bytes from a place on."""
        found = b"".join(self._blocks(start, start + size))
        if len(found) < size:
            raise OSError(f"a cache has lost its byte {start + len(found)}")
        return found

    def lines(self, start: int, end: int) -> Iterator[bytes]:
        """The lines between two places, without their ends. One that has no end is left out."""
        rest = b""
        for block in self._blocks(start, end):
            *whole, rest = (rest + block).split(b"\n")
            yield from whole
            if len(rest) > _LONGEST:
                return

    def write(self, at: int, data: bytes | bytearray) -> None:
        """Write at a place."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, at)
            view = view[done:]
            at += done

    def cut(self, end: int) -> None:
        """Leave so many bytes."""
        os.ftruncate(self._fd, end)

    def _blocks(self, start: int, end: int) -> Iterator[bytes]:
        while start < end and (block := os.pread(self._fd, min(BLOCK, end - start), start)):
            start += len(block)
            yield block

    def __del__(self) -> None:
        with suppress(OSError, AttributeError):
            os.close(self._fd)


class Memory:
    """Bytes of this process alone."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = bytearray(data)

    def read(self, start: int, size: int) -> bytes:
        """Bytes from a place on."""
        return bytes(self._data[start : start + size])

    def lines(self, start: int, end: int) -> Iterator[bytes]:
        """The lines between two places, without their ends."""
        while start < end:
            stop = self._data.index(b"\n", start)
            yield bytes(self._data[start:stop])
            start = stop + 1

    def write(self, at: int, data: bytes | bytearray) -> None:
        """Write at a place."""
        self._data[at:] = data

    def cut(self, end: int) -> None:
        """Leave so many bytes."""
        del self._data[end:]
