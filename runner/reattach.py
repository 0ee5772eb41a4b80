"""Reach the supervisor of an attempt that an earlier runner started.

A supervisor listens on an abstract socket named after its token: it needs no path, which in an
attempt's folder would be longer than the 108 bytes that a socket's path may have, and is gone
with the supervisor, however that ends.
"""

import os
import socket
import struct


def listen(token: str) -> socket.socket:
    """Be reachable under this token."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(_address(token))
    listener.listen(4)
    return listener


def accept(listener: socket.socket) -> socket.socket | None:
    """Take a connection; None when it is of another user, who has no say here."""
    connection, _ = listener.accept()
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, uid, _ = struct.unpack("iII", credentials)
    if uid in (0, os.getuid()):
        return connection
    connection.close()
    return None


def connect(token: str) -> socket.socket | None:
    """Reach a supervisor; None when it has ended. End of file there: it ends now."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.connect(_address(token))
    except ConnectionRefusedError:
        channel.close()
        return None
    return channel


def _address(token: str) -> str:
    return f"\0spawn-queue/{token}"
