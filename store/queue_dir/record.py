"""The exit record of an attempt, in a preallocated block that a full disk cannot affect."""

import marshal
import os

from spawn.core.domain.attempt_exit import AttemptExit
from spawn.store.queue_dir import block

_SIZE = 4096
_FORMAT = 4  # of `marshal`: see `spawn.runner.process.supervisor_protocol`


def preallocate(path: str | os.PathLike[str]) -> int:
    """Create the block and return a descriptor for writing it.

    Raises:
        OSError: The disk is full, or the file exists.
    """
    return block.preallocate(path, _SIZE, exclusive=True)


def write(fd: int, token: str, exit_: AttemptExit) -> None:
    """Write the record to the block.

    Raises:
        OSError: The block cannot be written.
    """
    block.write(fd, marshal.dumps((token, exit_._asdict()), _FORMAT), _SIZE)


def read(path: str | os.PathLike[str], token: str) -> AttemptExit | None:
    """Read the record of the attempt with this token; None if there is no valid one."""
    body = block.read(path, _SIZE)
    try:
        found, fields = marshal.loads(body or b"")
    except (ValueError, EOFError, TypeError):
        return None
    if found != token:
        return None
    return AttemptExit(
        **{name: value for name, value in fields.items() if name in AttemptExit._fields}
    )
