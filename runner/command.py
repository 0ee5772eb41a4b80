"""The forked child that becomes a job's command, once the gate opens."""

import os
import signal
from contextlib import suppress
from typing import NoReturn

from spawn.runner.messages import Order
from spawn.runner.prctl import die_with_parent

SHELL = "/bin/bash"
CANNOT_EXECUTE = 126
"""As bash says of a command that is there and cannot be executed."""


def execute(order: Order, *, gate: int, stdout: int, stderr: int) -> NoReturn:
    """Wait at the gate, then become the command. End of file at the gate: exit unexecuted."""
    code = CANNOT_EXECUTE
    try:
        supervisor = os.getppid()
        os.setsid()
        die_with_parent()
        if os.getppid() != supervisor:
            os._exit(code)
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            with suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(gate, 3)
        gate = 3
        for source, target in ((null, 0), (stdout, 1), (stderr, 2)):
            os.dup2(source, target)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
        if os.read(gate, 1) != b"g":
            os._exit(0)
        os.close(gate)
        os.chdir(order.working_directory)
        os.execve(SHELL, [SHELL, "-c", order.command], order.environment)
    except BaseException as error:
        os.write(2, f"spawn: the command could not be executed: {error}\n".encode())
    finally:
        os._exit(code)
