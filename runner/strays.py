"""End what an attempt left behind whose supervisor died."""

import os
import signal
import time
from pathlib import Path

LEAVE_SECONDS = 1.0
"""How long processes that we may not end, another user's, have to end with all others."""


def kill_strays(token: str, session: int | None) -> tuple[int, ...]:
    """Kill whatever still carries the token or is of the command's session, until nothing is.

    For an attempt whose supervisor died: without it, children of the command live on.

    Args:
        session: The command's pid, which led a session of its own, where it was seen alive until
            now. None where that is long ago: the number may be a stranger's.

    Returns:
        Those that are another user's, as `sudo` makes them, and could not be ended.
    """
    quiet = 0
    refused: list[int] = []
    until = time.monotonic() + LEAVE_SECONDS
    while quiet < 2 or (refused and time.monotonic() < until):
        # A child that was born during one search is found by the next.
        strays = _strays(token, session)
        refused = [pid for pid in strays if not _kill(pid)]
        quiet = 0 if len(strays) > len(refused) else quiet + 1
        time.sleep(0.01)  # they end when the kernel gets to it
    return tuple(refused)


def _kill(pid: int) -> bool:
    """Kill a process; returns whether that is allowed."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    return True


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
