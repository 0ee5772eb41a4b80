"""The command's process, from the fork to the moment that bash takes over."""

import os
import signal
from typing import NoReturn

from spawn.runner.messages import Go, Order, receive
from spawn.runner.prctl import die_with_parent

SHELL = "/bin/bash"
CANNOT_EXECUTE = 126
"""As bash says of a command that is there and cannot be executed."""
_GATE = 3


def execute(*, gate: int, stdout: int, stderr: int) -> NoReturn:
    """Get ready, learn at the gate what the command is, and become it when the gate opens.

    End of file at the gate: exit unexecuted.
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
        _be_the_first_to_go()
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
    """Python ignores some, and what is ignored stays so in the command."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _be_the_first_to_go() -> None:
    """When memory runs out, the command goes before whatever else is on the machine."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(fd, b"500")
        os.close(fd)
    except OSError:
        pass
