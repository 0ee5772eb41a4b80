"""Timeouts of this process's sockets."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch


@contextmanager
def recorded(kind: type[socket.socket] = socket.socket) -> Iterator[list[float | None]]:
    """Record each timeout set on a socket during the block, in seconds. None means no timeout.

    Args:
        kind: Class of the sockets, including subclasses.
    """
    timeouts: list[float | None] = []
    real = kind.settimeout

    def settimeout(self: socket.socket, seconds: float | None) -> None:
        timeouts.append(seconds)
        real(self, seconds)

    with patch.object(kind, "settimeout", settimeout):
        yield timeouts
