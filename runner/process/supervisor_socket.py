"""Connects to the supervisor of an attempt that an earlier runner started.

A supervisor listens on an abstract socket named after the attempt's token. The path of a socket in
the attempt's folder could exceed the limit of 108 bytes. An abstract socket has no path, and
disappears with the supervisor, however that ends.
"""

import os
import socket
import struct

CONNECT_SECONDS = 5.0
"""Timeout for a connection: another user's process at this address might never accept it."""


def listen(token: str) -> socket.socket:
    """Listen for runners that adopt the attempt with this token."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(_address(token))
    listener.listen(4)
    return listener


def accept(listener: socket.socket) -> socket.socket | None:
    """Accept a connection; None if it is from another user."""
    connection, _ = listener.accept()
    if _is_ours(connection):
        return connection
    connection.close()
    return None


def connect(token: str) -> socket.socket | None:
    """Connect to a supervisor; None if it has ended or cannot be reached.

    Once a supervisor has ended, another user may listen at its address; such a connection is
    dropped. The attempt's lock and record, which only this user can write, then tell how it ended.
    """
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Not `settimeout`: with it, `connect` fails at once if the listener's backlog is full.
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
    """`(pid, uid)` of the process at the other end. Source: unix(7)."""
    credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, _ = struct.unpack("iII", credentials)
    return pid, uid


def _is_ours(channel: socket.socket) -> bool:
    return peer(channel)[1] in (0, os.geteuid())


def _address(token: str) -> str:
    return f"\0spawn-queue/{token}"
