"""Print to stdout while a command works."""

from spawn.cli.main import discard_stdout
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
