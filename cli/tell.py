"""Talk on stdout beside what a command does."""

from spawn.cli.main import mute
from spawn.core.errors import SpawnError


def tell(text: str) -> None:
    """Print text at once. Who reads no further, as `head`, stops nothing: the work goes on.

    Raises:
        SpawnError: It cannot be written, to a full disk for one.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        mute()
    except OSError as error:
        raise SpawnError("stdout cannot be written", why=error.strerror or str(error)) from None
