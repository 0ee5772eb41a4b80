"""Start `spawn` by forking a process that has already imported it.

A new interpreter spends 0.1 to 0.7 s of CPU on imports, and a test run starts thousands. A fork
gets the arguments, environment, folder, streams and session that `Popen` would give a new process,
and runs the product's own `main`; a runner that it starts is forked from it in the same way.
Zygotes are forked from a process that has imported what a zygote imports: supervisors and jobs are
real. moto's server is forked, too.

Tests of memory, imports, streams and installation, and some tests of every kind, start the real
program: `pytest.mark.cold`. `SPAWN_COLD=1` and `SPAWN_SOAK=1` do so for all tests.
"""

import atexit
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from pathlib import Path
from secrets import token_hex
from typing import Any

from tests.support.soak import SOAK

from spawn.runner.interpreter import python_command

SPAWN = str(Path(sys.executable).with_name("spawn"))
RUNNER = python_command("spawn.runner")
MOTO = [sys.executable, str(Path(__file__).with_name("moto_server.py"))]
ROOT = Path(__file__).parents[2]

cold = SOAK or os.environ.get("SPAWN_COLD", "") not in ("", "0")
"""Whether the real program is started. The mark `cold` sets it for a test."""

_ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("SPAWN_")}
VARIABLE = "WARM"
"""Environment variable that names the fork servers of one test run."""
_AT_START = ("LD_PRELOAD", "PYTHONIOENCODING", "PYTHONUNBUFFERED")
"""Variables that only a new process reads: if they differ from ours, the program is executed."""
_BLOCK = 32 * 1024
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
    environ = options.get("env") or os.environ
    kind = kind_of(args)
    started = any(environ[name] != _ENVIRON.get(name) for name in _AT_START if name in environ)
    if not kind or (kind != "moto" and (cold or started)) or not options.keys() <= _SUPPORTED:
        return subprocess.Popen(args, **options)
    return Forked(args, **options)


def kind_of(args: Sequence[str]) -> str:
    """Return which fork server starts this program: `spawn`, `zygote` or `moto`; else empty."""
    if list(args[:2]) == MOTO:
        return "moto"
    if "spawn.runner.process.zygote" in args:
        return "zygote"
    return "spawn" if args[0] == SPAWN or list(args[: len(RUNNER)]) == RUNNER else ""


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
    """Replacement of `subprocess` in `runner.start`, to start runners."""

    PIPE, DEVNULL, Popen = subprocess.PIPE, subprocess.DEVNULL, staticmethod(spawn)


class ForkedPopen(subprocess.Popen):  # type: ignore[type-arg]
    """A process that is forked instead of executed."""

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
        """Fork a process with these arguments, environment, folder and descriptors.

        Returns:
            Its process id.
        """
        raise NotImplementedError


class Forked(ForkedPopen):
    """A process that a fork server forks; the server reports its exit status."""

    def _begin(self, order: dict[str, Any], fds: Mapping[int, int]) -> int:
        self._status = socket.socket(socket.AF_UNIX)
        self._status.connect(_address(kind_of(order["args"])))
        message = json.dumps({**order, "fds": list(fds)}).encode()
        socket.send_fds(self._status, [len(message).to_bytes(4, "big")], list(fds.values()))
        self._status.sendall(message)
        return int.from_bytes(exactly(self._status, 4), "big")

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        ready = select.select([self._status], [], [], 0 if wait_flags & os.WNOHANG else None)[0]
        if not ready:
            return 0, 0
        status = int.from_bytes(exactly(self._status, 4), "big")
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


def exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise RuntimeError("the fork server has died")
        data += more
    return data


def _address(of: str) -> str:
    """Return the address of the fork server for `spawn`, zygotes or moto."""
    return _name(of, _ENVIRON.get(VARIABLE) or _own_token())


@cache
def _own_token() -> str:
    """Return a random token that names this process's own fork servers."""
    return start()


def start() -> str:
    """Start all fork servers, for this process or for its workers; returns their name."""
    token = token_hex(8)
    for of in ("spawn", "zygote", "moto"):
        _start(of, token)
    return token


def _name(of: str, token: str) -> str:
    return f"\0spawn-tests-{token}-{of}"


def _start(of: str, token: str) -> None:
    """Start a fork server, which ends with this process."""
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind(_name(of, token))
        listener.listen(64)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server", of, str(listener.fileno())],
            cwd=ROOT,
            env={**_ENVIRON, VARIABLE: token, "ROOM": "x" * _BLOCK},
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
        )

    def end() -> None:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()

    atexit.register(end)


def decode_once() -> None:
    """Decode botocore's models, megabytes of JSON, once per process."""
    from botocore.loaders import JSONFileLoader

    from spawn.store.objects import service_models

    for loader in (service_models._Files, JSONFileLoader):
        loader.load_file = _once(loader.load_file)


def _once(load: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    known: dict[str, Any] = {}

    @wraps(load)
    def load_once(self: Any, path: str) -> Any:
        if path not in known:
            known[path] = load(self, path)
        return known[path]

    return load_once
