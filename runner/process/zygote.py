"""A small process that forks supervisors, at a sixth of the cost of a new interpreter.

It has no threads, database or locks, and imports little, because each attempt forks its memory
twice. It ends with its runner; supervisors do not.
"""

import gc
import os
import signal
import socket
import sys
from contextlib import suppress

from spawn.runner.process.supervisor import supervise
from spawn.runner.process.supervisor_protocol import PrepareFailed, pack

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


def main() -> None:
    """Fork a supervisor for each channel that the runner sends, until the runner ends."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        # Commands must not inherit signals that `nohup` or `&` have set to be ignored.
        default = signal.SIG_IGN if number in _IGNORED else signal.SIG_DFL
        if signal.getsignal(number) not in (default, None):
            signal.signal(number, default)  # SIGCHLD ignored: the kernel reaps supervisors
    _avoid_oom_kill()
    gc.freeze()  # a collection would write to, and so copy, all shared memory
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
        except OSError as error:  # out of processes
            _send_unable(fds[0], error)
        os.close(fds[0])


def _send_unable(channel: int, error: OSError) -> None:
    """Report to the launcher why no supervisor was forked."""
    with suppress(OSError):
        os.write(channel, pack(PrepareFailed(why=str(error))))


def _avoid_oom_kill() -> None:
    """Keep supervisors alive to report the end when memory runs out. Needs root."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(fd, b"-500")
        os.close(fd)
    except OSError:
        pass


if __name__ == "__main__":
    main()
