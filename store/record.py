"""How an attempt ended, in a block that was made before it began: a full disk cannot refuse it."""

import marshal
import os

from spawn.core.exit import Exit
from spawn.store import block

_SIZE = 4096
_FORMAT = 4  # of `marshal`: see `spawn.runner.messages`


def preallocate(path: str | os.PathLike[str]) -> int:
    """Make the block and return the descriptor to write it with.

    Raises:
        OSError: There is no room for it.
    """
    return block.preallocate(path, _SIZE, exclusive=True)


def write(fd: int, token: str, exit_: Exit) -> None:
    """Write the record over the block.

    Raises:
        OSError: The block could not be written.
    """
    block.write(fd, marshal.dumps((token, exit_._asdict()), _FORMAT), _SIZE)


def read(path: str | os.PathLike[str], token: str) -> Exit | None:
    """Read the record of the attempt with this token; None when there is no valid one."""
    body = block.read(path, _SIZE)
    try:
        found, fields = marshal.loads(body or b"")
    except (ValueError, EOFError, TypeError):
        return None
    if found != token:
        return None
    return Exit(**{name: value for name, value in fields.items() if name in Exit._fields})
