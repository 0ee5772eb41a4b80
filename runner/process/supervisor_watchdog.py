"""Resumes supervisors that a signal has stopped.

A job can stop its supervisor by `kill -STOP $PPID`, and would then have no timeout and ignore a
stop.
"""

import os
import signal
import time
from contextlib import suppress


class _Supervisor:
    """`until`: when its attempt should be over; None if there is no limit."""

    def __init__(self, pid: int, seconds: float | None) -> None:
        self.pid = pid
        self.until = None if seconds is None else time.monotonic() + seconds
        self.resumed = False


class SupervisorWatchdog:
    """The supervisors of open attempts.

    Call `forget` when a supervisor's channel closes: afterwards the kernel may reuse its pid.
    """

    def __init__(self) -> None:
        self._supervisors: dict[str, _Supervisor] = {}

    def add(self, token: str, pid: int, seconds: float | None) -> None:
        """Watch an attempt's supervisor. The attempt should be over in `seconds`, unless None."""
        if pid > 0:  # 0: the supervisor is in another pid namespace
            self._supervisors[token] = _Supervisor(pid, seconds)

    def limit(self, token: str, seconds: float) -> None:
        """Shorten the limit of an attempt that was asked to stop, and resume its supervisor."""
        supervisor = self._supervisors.get(token)
        if supervisor is not None:
            until = time.monotonic() + seconds
            supervisor.until = min(until, supervisor.until or until)
            resume(supervisor.pid)

    def forget(self, token: str) -> None:
        """Remove a supervisor."""
        self._supervisors.pop(token, None)

    def resume_stopped(self) -> None:
        """Resume stopped supervisors; kill one that is stopped again after its attempt's limit. The
        launcher then reports the attempt as lost and kills its processes."""
        now = time.monotonic()
        for each in self._supervisors.values():
            if not is_stopped(each.pid):
                continue
            if each.resumed and each.until is not None and now >= each.until:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(each.pid, signal.SIGKILL)
            else:
                each.resumed = True
                resume(each.pid)


def resume(pid: int) -> None:
    """Send SIGCONT, which has no effect on a process that is not stopped."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGCONT)


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped a process; a debugger does not count. Source: proc(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"T"
    except OSError:
        return False
