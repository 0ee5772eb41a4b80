"""A small process that forks supervisors: forking it costs a sixth of starting an interpreter.

It holds no thread, no database and no lock. It ends with its runner; supervisors do not.
"""

import os
import signal
import socket
import sys

from spawn.runner.supervisor import supervise


def main() -> None:
    """Fork a supervisor for each channel that comes in, until the runner is gone."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)  # SIGCHLD ignored: the kernel reaps supervisors
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(requests, 1, 1)
        except ConnectionResetError:
            break
        if not data:
            break
        if os.fork() == 0:
            supervise(fds[0])
        os.close(fds[0])


if __name__ == "__main__":
    main()
