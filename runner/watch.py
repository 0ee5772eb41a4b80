"""Sees that supervisors are at work: one that was stopped keeps its job from every end.

A job can do that: `kill -STOP $PPID`. It would then have no timeout, and could not be stopped.
"""

import os
import signal
import time
from contextlib import suppress


class _Supervisor:
    """One of an open attempt. `until`: when the attempt should be over; None: nobody knows."""

    def __init__(self, pid: int, seconds: float | None) -> None:
        self.pid = pid
        self.until = None if seconds is None else time.monotonic() + seconds
        self.roused = False


class Watch:
    """The supervisors of open attempts. Each is there, and ours, as long as its channel is open:
    whoever sees the end of that forgets it here before the kernel gives its number to others."""

    def __init__(self) -> None:
        self._supervisors: dict[str, _Supervisor] = {}

    def add(self, token: str, pid: int, seconds: float | None) -> None:
        """Watch over an attempt that should be over in so many seconds, if that is known."""
        if pid > 0:  # 0: from another pid namespace it cannot be named
            self._supervisors[token] = _Supervisor(pid, seconds)

    def hurry(self, token: str, seconds: float) -> None:
        """The attempt was asked to end, and should be over in so many seconds."""
        supervisor = self._supervisors.get(token)
        if supervisor is not None:
            until = time.monotonic() + seconds
            supervisor.until = min(until, supervisor.until or until)
            rouse(supervisor.pid)

    def forget(self, token: str) -> None:
        """The attempt is over."""
        self._supervisors.pop(token, None)

    def look(self) -> None:
        """Let those go on that were stopped. One that is stopped again when its attempt should be
        over is ended: then its job is lost, and what is left of it killed."""
        now = time.monotonic()
        for each in self._supervisors.values():
            if not is_stopped(each.pid):
                continue
            if each.roused and each.until is not None and now >= each.until:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(each.pid, signal.SIGKILL)
            else:
                each.roused = True
                rouse(each.pid)


def rouse(pid: int) -> None:
    """Let a process go on. It makes no difference to one that was not stopped."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGCONT)


def is_stopped(pid: int) -> bool:
    """Whether somebody stopped a process; a debugger that holds one does not count.

    Source: proc(5).
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"T"
    except OSError:
        return False
