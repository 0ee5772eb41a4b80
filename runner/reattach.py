"""Reach the supervisor of an attempt that an earlier runner started.

A supervisor listens on an abstract socket named after its token: it needs no path, which in an
attempt's folder would be longer than the 108 bytes that a socket's path may have, and is gone
with the supervisor, however that ends.
"""

import os
import socket
import struct

CONNECT_SECONDS = 5.0
"""How long whoever listens may take to make room for us: a stranger might never."""


def listen(token: str) -> socket.socket:
    """Be reachable under this token."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(_address(token))
    listener.listen(4)
    return listener


def accept(listener: socket.socket) -> socket.socket | None:
    """Take a connection; None when it is of another user, who has no say here."""
    connection, _ = listener.accept()
    if _is_ours(connection):
        return connection
    connection.close()
    return None


def connect(token: str) -> socket.socket | None:
    """Reach a supervisor; None when it has ended, or cannot be reached. End of file: it ends now.

    A supervisor's name is free once it has ended, and anybody may take it: another user who
    listens there is nobody to us. What an attempt came to is then for its lock and its record to
    tell, which only we can write.
    """
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Not `settimeout`, after which nobody waits where the queue of who listens is full.
    seconds = struct.pack("ll", int(CONNECT_SECONDS), 0)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
    try:
        channel.connect(_address(token))
        if _is_ours(channel):
            return channel
    except (ConnectionRefusedError, BlockingIOError):
        pass
    channel.close()
    return None


def peer(channel: socket.socket) -> tuple[int, int]:
    """The `(pid, uid)` of who listens or connects at the other end. Source: unix(7)."""
    credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, _ = struct.unpack("iII", credentials)
    return pid, uid


def _is_ours(channel: socket.socket) -> bool:
    return peer(channel)[1] in (0, os.geteuid())


def _address(token: str) -> str:
    return f"\0spawn-queue/{token}"
