"""The current problems of a queue's runner, in a file that other processes read."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from spawn.core.report.model import Trouble
from spawn.store import block

NAME = "troubles"
_SIZE = 8192
_ROOM = _SIZE - 16


def fitting(troubles: Sequence[Trouble]) -> tuple[Trouble, ...]:
    """Return the oldest problems, as many as fit into the file."""
    shown = tuple(troubles)
    while len(msgspec.json.encode(shown)) > _ROOM:
        shown = shown[:-1]
    return shown


class Board:
    """Writes a runner's problems. Those of an earlier runner are removed.

    Args:
        folder: The queue's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._fd: int | None = None
        self(())

    def __call__(self, troubles: Sequence[Trouble]) -> None:
        """Replace the problems, as many as fit into the file; ignores errors of the disk."""
        body = msgspec.json.encode(fitting(troubles))
        with suppress(OSError):
            if self._fd is None:
                self._fd = block.preallocate(self._path, _SIZE)
            block.write(self._fd, body, _SIZE)

    def close(self) -> None:
        """Clear the problems and close the file."""
        self(())
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def find(folder: Path) -> tuple[Trouble, ...]:
    """Return the problems of a queue's runner, oldest first; current only if it is alive."""
    try:
        body = block.read(folder / NAME, _SIZE)
        return msgspec.json.decode(body or b"[]", type=tuple[Trouble, ...])
    except msgspec.DecodeError:
        return ()
