"""Reach the supervisor of an attempt that an earlier runner started, and clean up after lost ones.

A supervisor listens on an abstract socket named after its token: it needs no path, which in an
attempt's folder would be longer than the 108 bytes that a socket's path may have, and is gone
with the supervisor, however that ends.
"""

import os
import signal
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path


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


def kill_strays(token: str) -> None:
    """Kill whatever still carries the token, until nothing does.

    For an attempt whose supervisor died: without it, children of the command live on.
    """
    while strays := list(_carriers(token)):
        for pid in strays:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)  # they end when the kernel gets to it


def _address(token: str) -> str:
    return f"\0spawn-queue/{token}"


def _carriers(token: str) -> list[int]:
    wanted = f"SPAWN_RUN={token}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended, or is not ours
    return found
