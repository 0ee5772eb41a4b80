"""Print a message while an operation takes long."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

SLOW_SECONDS = 4.0
"""How long to wait before the message."""
_STDERR = 2
"""The file descriptor, since a live view replaces `sys.stderr` by an object that is no terminal."""


@contextmanager
def notice_when_slow(
    text: str,
    say: Callable[[str], None],
    *,
    seconds: float = SLOW_SECONDS,
    watched: bool | None = None,
) -> Iterator[None]:
    """Print a message once if the block takes longer than `seconds` and a user is watching.

    Args:
        watched: Whether a user is watching (default: whether stderr is a terminal).
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
        timer.join()  # the message must not come after later output
