"""The timeouts that sockets of this process were given."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch


@contextmanager
def recorded(kind: type[socket.socket] = socket.socket) -> Iterator[list[float | None]]:
    """Record each timeout that a socket is given during the block: seconds, in order. None means
    that the socket blocks without end.

    Args:
        kind: Sockets of this class, and of those derived from it.
    """
    timeouts: list[float | None] = []
    real = kind.settimeout

    def settimeout(self: socket.socket, seconds: float | None) -> None:
        timeouts.append(seconds)
        real(self, seconds)

    with patch.object(kind, "settimeout", settimeout):
        yield timeouts
