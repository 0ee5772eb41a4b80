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


def kill_strays(token: str, session: int | None) -> None:
    """Kill whatever still carries the token or is of the command's session, until nothing is.

    For an attempt whose supervisor died: without it, children of the command live on.

    Args:
        session: The command's pid, which led a session of its own, where it was seen alive until
            now. None where that is long ago: the number may be a stranger's.
    """
    quiet = 0
    while quiet < 2:  # a child that was born during one search is found by the next
        strays = _strays(token, session)
        quiet = 0 if strays else quiet + 1
        for pid in strays:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)  # they end when the kernel gets to it


def _address(token: str) -> str:
    return f"\0spawn-queue/{token}"


def _strays(token: str, session: int | None) -> list[int]:
    wanted = f"SPAWN_RUN={token}".encode()
    carriers, members = [], []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            pid, state, sid = _stat(entry)
            if state == b"Z":
                continue  # dead, and somebody else's to reap
            if sid == session:
                members.append(pid)
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                carriers.append(pid)
        except OSError:
            continue  # it has ended, or is not ours
    # While a session has members nobody else can lead one of that number. A leader without the
    # token is a stranger to whom the number came later, and so are all in its session.
    ours = session not in members or session in carriers
    return sorted({*carriers, *(members if ours else ())})


def _stat(entry: Path) -> tuple[int, bytes, int]:
    """`(pid, state, session)` of a process. Source: proc(5)."""
    rest = (entry / "stat").read_bytes().rpartition(b")")[2].split()
    return int(entry.name), rest[0], int(rest[3])
