"""The command's process, from the fork until it executes bash."""

import ctypes
import os
import signal
from typing import NoReturn

from spawn.runner.process.supervisor_protocol import Go, Order, receive

SHELL = "/bin/bash"
CANNOT_EXECUTE = 126
"""Exit code of bash for a command that exists but cannot be executed."""
_GATE = 3


def execute(*, gate: int, stdout: int, stderr: int) -> NoReturn:
    """Read the order from `gate`, wait there for `Go`, and execute the command.

    At end of file the process exits without executing anything.
    """
    code = CANNOT_EXECUTE
    try:
        supervisor = os.getppid()
        os.setsid()
        die_with_parent()
        if os.getppid() != supervisor:
            os._exit(code)
        _default_signals()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(gate, _GATE)
        for source, target in ((null, 0), (stdout, 1), (stderr, 2)):
            os.dup2(source, target)
        os.closerange(_GATE + 1, os.sysconf("SC_OPEN_MAX"))
        _prefer_for_oom_kill()
        order = receive(_GATE)
        if not isinstance(order, Order) or not isinstance(receive(_GATE), Go):
            os._exit(0)
        os.close(_GATE)
        os.chdir(order.working_directory)
        os.execve(SHELL, [SHELL, "-c", order.command], order.environment)
    except BaseException as error:
        os.write(2, f"spawn: the command could not be executed: {error}\n".encode())
    finally:
        os._exit(code)


def _default_signals() -> None:
    """Reset all handlers: signals that Python ignores would stay ignored in the command."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _prefer_for_oom_kill() -> None:
    """Let the kernel kill the command before other processes when memory runs out."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(fd, b"500")
        os.close(fd)
    except OSError:
        pass


_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def become_subreaper() -> None:
    """Make this process the parent of every orphan among its descendants, including daemons."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
