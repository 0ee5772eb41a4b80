"""A small process that forks supervisors: forking it costs a sixth of starting an interpreter.

It holds no thread, no database and no lock, and imports little: what it has in memory is copied
twice for each attempt. It ends with its runner; supervisors do not.
"""

import gc
import os
import signal
import socket
import sys
from contextlib import suppress

from spawn.runner.messages import Unable, pack
from spawn.runner.supervisor import supervise

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


def main() -> None:
    """Fork a supervisor for each channel that comes in, until the runner is gone."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        # What our caller ignores, as `nohup` and `&` do, is no concern of commands.
        default = signal.SIG_IGN if number in _IGNORED else signal.SIG_DFL
        if signal.getsignal(number) not in (default, None):
            signal.signal(number, default)  # SIGCHLD ignored: the kernel reaps supervisors
    _be_the_last_to_go()
    gc.freeze()  # a collection would touch, and so copy, all that is shared
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(requests, 1, 1)
        except ConnectionResetError:
            break
        if not data:
            break
        try:
            if os.fork() == 0:
                supervise(fds[0])
        except OSError as error:  # no process to be had
            _refuse(fds[0], error)
        os.close(fds[0])


def _refuse(channel: int, error: OSError) -> None:
    """Say why there is no supervisor at the other end."""
    with suppress(OSError):
        os.write(channel, pack(Unable(why=str(error))))


def _be_the_last_to_go() -> None:
    """When memory runs out, supervisors stay to tell of it. Only root may ask for that."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(fd, b"-500")
        os.close(fd)
    except OSError:
        pass


if __name__ == "__main__":
    main()
