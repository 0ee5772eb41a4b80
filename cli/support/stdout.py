"""Print to stdout while a command works."""

import os
import sys

from spawn.core.errors import SpawnError


def print_flushed(text: str) -> None:
    """Print to stdout and flush. A closed pipe, as of `head`, does not stop the command.

    Raises:
        SpawnError: stdout cannot be written, for example because the disk is full.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        discard_stdout()
    except OSError as error:
        raise SpawnError("stdout cannot be written", why=error.strerror or str(error)) from None


def discard_stdout() -> None:
    """Redirect stdout to /dev/null, after its reader has closed the pipe."""
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), sys.stdout.fileno())
