"""`spawn` from a process that has imported all of it, and forks.

A command of its own imports for 0.1 to 0.7 s of CPU what the last one has just imported, thousands
of times in a run of the tests. Here it is forked with the arguments, environment, folder, streams
and session that `Popen` gives it; the runner that it starts is forked from it in the same way. What
runs is the product's own `main`. The zygote is executed, so supervisors and commands are as ever.

Tests of memory, of imports, of what is installed and some of every kind ask for the real program:
`pytest.mark.cold`. `SPAWN_COLD=1` and `SPAWN_SOAK=1` run all of them so.

moto's server, which imports for longer still, is forked from another process of the same kind.
"""

import atexit
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
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from secrets import token_hex
from typing import Any, NoReturn

from tests.support.soak import SOAK

SPAWN = str(Path(sys.executable).with_name("spawn"))
RUNNER = [sys.executable, "-m", "spawn.runner"]
MOTO = [sys.executable, str(Path(__file__).with_name("moto_server.py"))]
ROOT = Path(__file__).parents[2]

CONSTANTS = "SPAWN_TEST_CONSTANTS"
"""Environment variable with the constants that a forked process changes, as a JSON object."""

cold = SOAK or os.environ.get("SPAWN_COLD", "") not in ("", "0")
"""Whether the real program is started. A test that is marked sets it while it runs."""

_ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("SPAWN_")}
VARIABLE = "WARM"
"""Names the processes that the workers of one run share."""
_BLOCK = 32 * 1024
_HIGH = 500
_SUPPORTED = {
    *("env", "cwd", "stdin", "stdout", "stderr", "pass_fds", "start_new_session"),
    *("text", "encoding", "errors", "bufsize"),
}


def spawn(args: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
    """Start `spawn`, or a runner.

    Args:
        args: `[SPAWN, ...]`, `[*RUNNER, ...]` or `[*MOTO, ...]`; anything else is executed.
        options: For `Popen`. With some, as a user, the program is executed.
    """
    moto = list(args[:2]) == MOTO
    ours = args[0] == SPAWN or list(args[:3]) == RUNNER
    loaded = "LD_PRELOAD" in (options.get("env") or os.environ)
    if (not moto and (cold or loaded or not ours)) or not options.keys() <= _SUPPORTED:
        return subprocess.Popen(args, **options)
    return _Forked(args, **options)


def run(args: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[Any]":
    """Run `spawn` to its end, as `subprocess.run` does.

    Raises:
        subprocess.TimeoutExpired: It took longer than `timeout`; it is killed.
    """
    given, timeout = options.pop("input", None), options.pop("timeout", None)
    if given is not None:
        options["stdin"] = subprocess.PIPE
    if options.pop("capture_output", False):
        options["stdout"] = options["stderr"] = subprocess.PIPE
    check = options.pop("check", False)
    with spawn(args, **options) as process:
        try:
            out, err = process.communicate(given, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


class Subprocess:
    """What `runner.start` may have for `subprocess`, to start runners by."""

    PIPE, DEVNULL, Popen = subprocess.PIPE, subprocess.DEVNULL, staticmethod(spawn)


class _Popen(subprocess.Popen):  # type: ignore[type-arg]
    """A process that is not executed."""

    def _execute_child(
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, cwd: Any,
        env: Any, startupinfo: Any, creationflags: Any, shell: Any, p2cread: int, p2cwrite: int,
        c2pread: int, c2pwrite: int, errread: int, errwrite: int, restore_signals: Any, gid: Any,
        gids: Any, uid: Any, umask: Any, start_new_session: bool, *_: Any,
    ) -> None:  # fmt: skip
        fds = {0: p2cread, 1: c2pwrite, 2: errwrite}
        fds = {number: number if fd == -1 else fd for number, fd in fds.items()}
        fds |= {fd: fd for fd in pass_fds}
        self.pid = self._begin(
            {
                "args": [os.fspath(each) for each in args],
                "env": dict(os.environ if env is None else env),
                "cwd": os.fspath(cwd or Path.cwd()),
                "session": bool(start_new_session),
            },
            fds,
        )
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)

    def _begin(self, order: dict[str, Any], fds: Mapping[int, int]) -> int:
        raise NotImplementedError


class _Forked(_Popen):
    """Forked from the process that is warm; that one tells how it ends."""

    def _begin(self, order: dict[str, Any], fds: Mapping[int, int]) -> int:
        self._status = socket.socket(socket.AF_UNIX)
        self._status.connect(_address("moto" if order["args"][:2] == MOTO else "spawn"))
        message = json.dumps({**order, "fds": list(fds)}).encode()
        socket.send_fds(self._status, [len(message).to_bytes(4, "big")], list(fds.values()))
        self._status.sendall(message)
        return int.from_bytes(_exactly(self._status, 4), "big")

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        ready = select.select([self._status], [], [], 0 if wait_flags & os.WNOHANG else None)[0]
        if not ready:
            return 0, 0
        status = int.from_bytes(_exactly(self._status, 4), "big")
        self._status.close()
        return self.pid, status

    def _internal_poll(self, _deadstate: int | None = None, **_: Any) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(False):
            try:
                if self.returncode is None:
                    pid, status = self._try_wait(os.WNOHANG)
                    if pid:
                        self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        return self.returncode


class _Fork(_Popen):
    """Forked from the command that starts it."""

    def _begin(self, order: dict[str, Any], fds: Mapping[int, int]) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        pid = os.fork()
        if pid == 0:
            _run(order, fds)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        return pid


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise RuntimeError("the process that forks has died")
        data += more
    return data


@cache
def _address(of: str) -> str:
    """Where the process for `spawn` or moto listens; it is started where no other one has."""
    if VARIABLE not in _ENVIRON:
        _start(of, token := token_hex(8))
    return _name(of, _ENVIRON.get(VARIABLE) or token)


def start() -> None:
    """Start both, for all workers that this process starts from here on."""
    os.environ[VARIABLE] = token_hex(8)
    for of in ("spawn", "moto"):
        _start(of, os.environ[VARIABLE])


def _name(of: str, token: str) -> str:
    return f"\0spawn-tests-{token}-{of}"


def _start(of: str, token: str) -> None:
    """Start a process that forks, until this one ends."""
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind(_name(of, token))
        listener.listen(64)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm", of, str(listener.fileno())],
            cwd=ROOT,
            env={**_ENVIRON, "ROOM": "x" * _BLOCK},
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
        )

    def end() -> None:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()

    atexit.register(end)


# the process that is warm


def _serve(of: str, listener: socket.socket) -> None:
    """Fork what is asked for until whoever started this has ended: a connection a process."""
    _import_spawn() if of == "spawn" else _import_moto()
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
            with status:  # it was told, and has hung up
                os.waitpid(forked.pop(status), 0)
        if listener.fileno() in ready:
            status = listener.accept()[0]
            credentials = status.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if struct.unpack("3i", credentials)[1] != os.getuid():
                status.close()
                continue
            try:
                forked[status] = _fork(status)
            except (RuntimeError, OSError):  # who asked is gone
                status.close()
                continue
            alive.add(status)


def _fork(status: socket.socket) -> int:
    """Fork what a connection asks for; its pid is told there."""
    head, fds, _, _ = socket.recv_fds(status, 4, 32)
    head += _exactly(status, 4 - len(head))
    order = json.loads(_exactly(status, int.from_bytes(head, "big")))
    # A signal that comes before it is set up would be lost in what Python runs after a fork.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _run(order, dict(zip(order["fds"], fds, strict=True)))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for fd in fds:
        os.close(fd)
    with suppress(OSError):
        status.sendall(pid.to_bytes(4, "big"))
    return pid


def _has_ended(status: socket.socket, pid: int) -> bool:
    """Tell whoever waits for a process when it has ended; it is reaped when that one hangs up."""
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
    from spawn.store.objects import models

    for each in pkgutil.walk_packages(spawn.__path__, "spawn."):
        if each.name.startswith(("spawn.migrations", "spawn.core.boot.instance.")):
            continue
        if not each.name.endswith("__main__") and each.name != "spawn.runner.zygote":
            importlib.import_module(each.name)
    importlib.import_module("spawn.cli.app")
    for name in ("boto3", "botocore.auth", "s3transfer", "sshtunnel", "urllib.request"):
        importlib.import_module(name)
    decode_once()
    models.session().create_client("s3", region_name="us-east-1")


def _import_moto() -> None:
    for name in ("server", "s3.urls", "s3.responses", "ec2.urls", "ec2.responses", "iam.urls"):
        importlib.import_module(f"moto.{name}")
    for name in ("iam.responses", "ssm.urls", "ssm.responses", "sts.urls", "sts.responses"):
        importlib.import_module(f"moto.{name}")
    runpy.run_path(MOTO[1])
    from moto.backends import get_backend
    from moto.core import DEFAULT_ACCOUNT_ID

    for service, region in (("ec2", "us-east-1"), ("iam", "aws"), ("s3", "aws")):
        get_backend(service)[DEFAULT_ACCOUNT_ID][region]  # EC2's takes a second to be made


def decode_once() -> None:
    """Have what botocore knows of AWS, megabytes of JSON, decoded once a process."""
    from botocore.loaders import JSONFileLoader

    from spawn.store.objects import models

    for loader in (models._Files, JSONFileLoader):
        loader.load_file = _once(loader.load_file)


def _once(load: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    known: dict[str, Any] = {}

    @wraps(load)
    def load_once(self: Any, path: str) -> Any:
        if path not in known:
            known[path] = load(self, path)
        return known[path]

    return load_once


# what is forked


def _run(order: dict[str, Any], fds: Mapping[int, int]) -> NoReturn:
    """Become the process that was asked for."""
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
        else:
            sys.argv = [args[2], *args[3:]]
            runpy.run_module(args[2] + ".__main__", run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:  # before `main` was there to take it
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
        if number > last + 1:  # of an empty range it would close all
            os.closerange(last + 1, number)
        last = number
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))
    if order["session"] and os.isatty(0):  # `terminal` wants what `setsid --ctty` does
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
    if "spawn.runner.start" in sys.modules:
        importlib.reload(sys.modules["spawn.store.failpoints"])
        sys.modules["spawn.runner.start"].subprocess = _Subprocess  # type: ignore[attr-defined]
        for name, value in json.loads(environ.get(CONSTANTS, "{}")).items():
            set_constant(name, value)
    for folder in environ.get("PYTHONPATH", "").split(os.pathsep):
        if folder and (site := Path(folder, "sitecustomize.py")).exists():
            runpy.run_path(str(site))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


class _Subprocess(Subprocess):
    """The same, in a process that was forked."""

    Popen = _Fork


def hurry(environ: dict[str, str], name: str, value: Any) -> None:
    """Change a constant in the processes that get an environment.

    The real program ignores the change: a test must pass with the true value, too.

    Args:
        environ: Environment of the processes; the change is added to it.
        name: Dotted name, in the module that reads the constant, or of an attribute of one.
        value: A JSON value.

    Raises:
        AttributeError: There is no such constant.
    """
    _owner(name)
    changed = {**json.loads(environ.get(CONSTANTS, "{}")), name: value}
    environ[CONSTANTS] = json.dumps(changed)


def set_constant(name: str, value: Any) -> None:
    """Change a constant in this process.

    Raises:
        AttributeError: There is no such constant.
    """
    owner, attribute = _owner(name)
    setattr(owner, attribute, value)


def _owner(name: str) -> tuple[Any, str]:
    """The module or object that has an attribute of this dotted name, and the attribute."""
    path, _, attribute = name.rpartition(".")
    try:
        owner = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        owner = getattr(*_owner(path))
    if not hasattr(owner, attribute):
        raise AttributeError(f"{path} has no {attribute}")
    return owner, attribute


def _stream(fd: int) -> io.TextIOWrapper | None:
    """A standard stream as the interpreter makes it."""
    try:
        raw = io.FileIO(fd, "r" if fd == 0 else "w", closefd=False)
    except OSError:
        return None
    buffer = io.BufferedReader(raw) if fd == 0 else io.BufferedWriter(raw)
    errors = "backslashreplace" if fd == 2 else "surrogateescape"
    line = fd == 2 or raw.isatty()
    return io.TextIOWrapper(buffer, "utf-8", errors=errors, line_buffering=line)


def _show(environ: Mapping[str, str]) -> None:
    """Have `/proc/PID/environ` show the environment: it is read from where a process began."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[47]), int(fields[48])
    block = b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in environ.items())
    ctypes.memmove(begin, block[: end - begin].ljust(end - begin, b"\0"), end - begin)


if __name__ == "__main__":
    _serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
