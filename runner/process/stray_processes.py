"""Kills the processes of an attempt whose supervisor has died."""

import os
import signal
import time
from pathlib import Path

LEAVE_SECONDS = 1.0
"""How long to wait for processes of another user, which cannot be killed, to end by themselves."""


def kill_attempt(token: str, session: int | None) -> tuple[int, ...]:
    """Kill all processes that carry the token or are in the command's session.

    Without its supervisor, children of an attempt's command keep running.

    Args:
        session: Pid of the command, which leads its session, if this runner has followed it until
            now. None if not: the number may have been reused.

    Returns:
        Pids that could not be killed because they belong to another user, as after `sudo`.
    """
    quiet = 0
    refused: list[int] = []
    until = time.monotonic() + LEAVE_SECONDS
    while quiet < 2 or (refused and time.monotonic() < until):
        # Search twice: a child that is forked during one search is found by the next.
        strays = _strays(token, session)
        refused = [pid for pid in strays if not _kill(pid)]
        quiet = 0 if len(strays) > len(refused) else quiet + 1
        time.sleep(0.01)  # the kernel ends them asynchronously
    return tuple(refused)


def _kill(pid: int) -> bool:
    """Kill a process; returns False if it belongs to another user."""
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
                continue  # dead; its parent reaps it
            if sid == session:
                members.append(pid)
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                carriers.append(pid)
        except OSError:
            continue  # it has ended, or belongs to another user
    # A session's number is not reused while the session has members. A leader without the token
    # has got the number after the attempt's session ended, so the members are not the attempt's.
    ours = session not in members or session in carriers
    return sorted({*carriers, *(members if ours else ())})


def _stat(entry: Path) -> tuple[int, bytes, int]:
    """`(pid, state, session)` of a process. Source: proc(5)."""
    rest = (entry / "stat").read_bytes().rpartition(b")")[2].split()
    return int(entry.name), rest[0], int(rest[3])
