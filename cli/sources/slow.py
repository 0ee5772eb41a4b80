"""Say that something takes its time, while it does."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

SLOW_SECONDS = 4.0
"""How long a person may wonder."""
_STDERR = 2
"""What a live view has put in the place of `sys.stderr` says that it is no terminal."""


@contextmanager
def told_when_slow(
    text: str,
    say: Callable[[str], None],
    *,
    seconds: float = SLOW_SECONDS,
    watched: bool | None = None,
) -> Iterator[None]:
    """Say something once when the block takes long and somebody sits at a terminal.

    Args:
        watched: Whether somebody does; None: whether stderr is a terminal.
    """
    if not (os.isatty(_STDERR) if watched is None else watched):
        yield
        return
    timer = Timer(seconds, say, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # what it says comes before what follows
