"""The present troubles of a queue's runner, in a file that other processes read."""

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
    """Of many troubles, the oldest, as many as there is room for."""
    shown = tuple(troubles)
    while len(msgspec.json.encode(shown)) > _ROOM:
        shown = shown[:-1]
    return shown


class Board:
    """Where a runner keeps its troubles. What stands there of an earlier runner is removed.

    Args:
        folder: The queue's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._fd: int | None = None
        self(())

    def __call__(self, troubles: Sequence[Trouble]) -> None:
        """Replace what is kept; of many, as many as there is room for. A disk on which not even
        the file can be made is no error."""
        body = msgspec.json.encode(fitting(troubles))
        with suppress(OSError):
            if self._fd is None:
                self._fd = block.preallocate(self._path, _SIZE)
            block.write(self._fd, body, _SIZE)

    def close(self) -> None:
        """The runner ends, and its troubles with it."""
        self(())
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def find(folder: Path) -> tuple[Trouble, ...]:
    """The troubles of a queue's runner, oldest first; of a live one they are present."""
    try:
        body = block.read(folder / NAME, _SIZE)
        return msgspec.json.decode(body or b"[]", type=tuple[Trouble, ...])
    except msgspec.DecodeError:
        return ()
