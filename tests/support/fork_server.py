"""The process that `tests.support.warm` forks `spawn`, zygotes or moto from.

`python -m tests.support.fork_server KIND FD`: imports what this kind needs once, then forks a
process for each connection to its listening socket FD, until its stdin is closed. A connection
carries one request, then the process id, then the exit status.
"""

import ctypes
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from tests.support import constants
from tests.support.warm import (
    MOTO,
    RUNNER,
    SPAWN,
    Forked,
    ForkedPopen,
    Subprocess,
    decode_once,
    exactly,
)

_HIGH = 500
"""Descriptors that a fork keeps move above this number before they get their own."""


def _serve(of: str, listener: socket.socket) -> None:
    """Fork one process per connection, until stdin is closed."""
    {"spawn": _import_spawn, "zygote": _import_zygote, "moto": _import_moto}[of]()
    if of == "moto":
        gc.set_threshold(20_000)
    gc.collect()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    forked: dict[socket.socket, int] = {}
    alive: set[socket.socket] = set()
    poll = select.poll()
    for fd in (0, woken, listener.fileno()):
        poll.register(fd, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if 0 in ready:
            return
        if woken in ready:
            with suppress(BlockingIOError):
                os.read(woken, 4096)
        for status in [each for each in alive if _has_ended(each, forked[each])]:
            alive.remove(status)
            poll.register(status, select.POLLIN)
        for status in [each for each in forked if each.fileno() in ready]:
            poll.unregister(status)
            with status:  # the client has the status, and has disconnected
                os.waitpid(forked.pop(status), 0)
        if listener.fileno() in ready:
            status = listener.accept()[0]
            credentials = status.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if struct.unpack("3i", credentials)[1] != os.getuid():
                status.close()
                continue
            try:
                forked[status] = _fork(status)
            except (RuntimeError, OSError):  # client gone, or fork failed
                status.close()
                continue
            alive.add(status)


def _fork(status: socket.socket) -> int:
    """Fork the process that a connection requests, and send its process id."""
    head, fds, _, _ = socket.recv_fds(status, 4, 32)
    try:
        head += exactly(status, 4 - len(head))
        order = json.loads(exactly(status, int.from_bytes(head, "big")))
        with _signals_blocked():
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _run(order, dict(zip(order["fds"], fds, strict=True)))
    finally:
        for fd in fds:
            os.close(fd)
    with suppress(OSError):
        status.sendall(pid.to_bytes(4, "big"))
    return pid


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block signals during a fork: one that arrives before the child has set its handlers would be
    lost in what Python runs after a fork."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _has_ended(status: socket.socket, pid: int) -> bool:
    """Send the exit status of a process that has ended; it is reaped when the client hangs up."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is None:
        return False
    code = found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status
    with suppress(OSError):
        status.sendall(code.to_bytes(4, "big"))
    return True


def _import_spawn() -> None:
    import sqlalchemy.dialects.sqlite  # noqa: F401

    import spawn
    from spawn.store.objects import service_models

    for each in pkgutil.walk_packages(spawn.__path__, "spawn."):
        if each.name.startswith(("spawn.migrations", "spawn.store.aws.boot.instance.")):
            continue
        if not each.name.endswith("__main__") and each.name != "spawn.runner.process.zygote":
            importlib.import_module(each.name)
    cli = importlib.import_module("spawn.cli.app")
    cli.app = importlib.import_module("typer.main").get_command(cli.app)  # as each command does
    for name in ("boto3", "botocore.auth", "s3transfer", "sshtunnel", "urllib.request"):
        importlib.import_module(name)
    decode_once()
    service_models.create_session().create_client("s3", region_name="us-east-1")


def _import_zygote() -> None:
    importlib.import_module("spawn.runner.process.zygote")


def _import_moto() -> None:
    for name in ("server", "s3.urls", "s3.responses", "ec2.urls", "ec2.responses", "iam.urls"):
        importlib.import_module(f"moto.{name}")
    for name in ("iam.responses", "ssm.urls", "ssm.responses", "sts.urls", "sts.responses"):
        importlib.import_module(f"moto.{name}")
    runpy.run_path(MOTO[1])
    from moto.backends import get_backend
    from moto.core import DEFAULT_ACCOUNT_ID

    for service, region in (("ec2", "us-east-1"), ("iam", "aws"), ("s3", "aws")):
        get_backend(service)[DEFAULT_ACCOUNT_ID][region]  # EC2's takes a second to create


# in the fork


def _run(order: dict[str, Any], fds: Mapping[int, int]) -> NoReturn:
    """Become the requested process."""
    code = 1
    try:
        _become(order, fds)
        args = order["args"]
        if args[0] == SPAWN:
            from spawn.cli.main import main

            sys.argv = list(args)
            main()
        elif args[:2] == MOTO:
            sys.argv = args[1:]
            runpy.run_path(args[1], run_name="__main__")
        elif args[-2] == "spawn.runner.process.zygote":
            from spawn.runner.process.zygote import main

            sys.argv = args[-2:]
            main()
        else:
            sys.argv = args[len(RUNNER) - 1 :]
            runpy.run_module(sys.argv[0] + ".__main__", run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:  # before `main` had a handler
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _become(order: dict[str, Any], fds: Mapping[int, int]) -> None:
    if order["session"]:
        os.setsid()
    above = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH) for number, fd in fds.items()}
    for number, fd in above.items():
        os.dup2(fd, number)
    last = -1
    for number in sorted(fds):
        if number > last + 1:  # an empty range would close all
            os.closerange(last + 1, number)
        last = number
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))
    if order["session"] and os.isatty(0):  # `terminal` needs the same as `setsid --ctty`
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(order["cwd"])
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    environ = order["env"]
    os.environ.clear()
    os.environ.update(environ)
    _show(environ)
    time.tzset()
    sys.stdin, sys.stdout, sys.stderr = _stream(0), _stream(1), _stream(2)
    if "spawn.store.failpoints" in sys.modules:
        importlib.reload(sys.modules["spawn.store.failpoints"])
    if "spawn.runner.runner_process" in sys.modules:
        sys.modules["spawn.runner.process.launcher"].subprocess = _Zygotes  # type: ignore[attr-defined]
        sys.modules["spawn.runner.runner_process"].subprocess = _Subprocess  # type: ignore[attr-defined]
        for name, value in json.loads(environ.get(constants.VARIABLE, "{}")).items():
            constants.set_constant(name, value)
    path = "" if "-E" in order["args"] else environ.get("PYTHONPATH", "")
    for folder in path.split(os.pathsep):
        if folder and (site := Path(folder, "sitecustomize.py")).exists():
            runpy.run_path(str(site))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


class _Fork(ForkedPopen):
    """A process forked by the command that starts it."""

    def _begin(self, order: dict[str, Any], fds: Mapping[int, int]) -> int:
        with _signals_blocked():
            pid = os.fork()
            if pid == 0:
                _run(order, fds)
        return pid


class _Subprocess(Subprocess):
    """`subprocess` replacement in a forked process."""

    Popen = _Fork


class _Zygotes(Subprocess):
    """`subprocess` replacement for zygotes, which are forked from a server with few imports."""

    Popen = Forked


def _stream(fd: int) -> io.TextIOWrapper | None:
    """Create a standard stream as the interpreter does."""
    try:
        raw = io.FileIO(fd, "r" if fd == 0 else "w", closefd=False)
    except OSError:
        return None
    buffer = io.BufferedReader(raw) if fd == 0 else io.BufferedWriter(raw)
    errors = "backslashreplace" if fd == 2 else "surrogateescape"
    line = fd == 2 or raw.isatty()
    return io.TextIOWrapper(buffer, "utf-8", errors=errors, line_buffering=line)


def _show(environ: Mapping[str, str]) -> None:
    """Make `/proc/PID/environ` show the environment: it is read from the process's first memory."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[47]), int(fields[48])
    block = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in environ.items())
    ctypes.memmove(begin, block[: end - begin].ljust(end - begin, b"\0"), end - begin)


if __name__ == "__main__":
    _serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
