"""Starts a runner again when it has died.

The guardian is the process that the runner is forked from. It imports little and only waits, so
that what ends a runner, such as the kernel when memory runs out, rarely ends both. Where a service
manager does the same, there is no guardian.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple, NoReturn

RESTARTS = "SPAWN_RESTARTS"
"""Names the variable that says how often in a row a runner is started again; 0 for never."""
DEFAULT_RESTARTS = 5
PAUSES = (0.5, 2.0, 8.0)
"""Seconds before each start in a row; the last one is repeated. `wait` waits longer than that."""
LASTING_SECONDS = 600.0
"""A runner that lived longer than this had not failed to start."""
UNEXPECTED = 70
"""Exit code of a runner that met an internal error: it is started again, by systemd too."""
OWNED, STOPPING = b"o", b"s"
"""What a runner tells its guardian: that it owns its queue, and that it was told to stop."""
_STOPS = (signal.SIGTERM, signal.SIGINT)
PASSED_ON = {signal.SIGRTMIN + 1: signal.SIGTERM, signal.SIGRTMIN + 2: signal.SIGINT}
"""How a guardian passes a signal on to a runner that owns its queue: one that was sent to a process
group, or to all processes of a service, comes to both, and is one."""


class Before(NamedTuple):
    """What a runner learns from its guardian."""

    fd: int
    """Where it tells its guardian; -1 without one."""
    nonce: str
    """Of the leases that the runners of this order claim."""
    died: str = ""
    """How the last one died, such as `signal SIGKILL`; empty for the first runner."""
    seconds: float = 0.0
    """Since the first one began, by a clock that never jumps."""


def guard(run: Callable[[bytes, Before], int], environ: Mapping[str, str], service: bool) -> int:
    """Run the order that stdin has, as often as it takes.

    Args:
        run: Runs an order; returns the exit code.
        service: Whether a service manager starts this process again.

    Returns:
        The exit code. Where the runner died by a signal and is not started again, this process
        dies by it, too.
    """
    order = sys.stdin.buffer.read()
    restarts = _restarts(environ)
    if service or not restarts:
        return run(order, Before(-1, _nonce()))
    return _Guardian(lambda before: run(order, before), restarts).watch()


def _restarts(environ: Mapping[str, str]) -> int:
    text = environ.get(RESTARTS, "")
    return int(text) if text.isascii() and text.isdigit() else DEFAULT_RESTARTS


class _Guardian:
    def __init__(self, run: Callable[[Before], int], restarts: int) -> None:
        self._run = run
        self._restarts = restarts
        self._began = time.monotonic()
        self._nonce = _nonce()
        self._pid = 0
        self._ready = self._owned = False
        self._asked: list[int] = []

    def watch(self) -> int:
        """See `guard`."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in _STOPS:
            signal.signal(number, self._pass_on)
        _be_the_last_to_go()
        died, failures, owned = "", 0, False
        while True:
            began = time.monotonic()
            told, code = self._start(died)
            owned = owned or OWNED in told
            if code >= 0 and code != UNEXPECTED:
                return code
            if not owned or STOPPING in told or -code in _STOPS:
                return _end_like(code)
            failures = 1 if time.monotonic() - began > LASTING_SECONDS else failures + 1
            if failures > self._restarts:
                return _end_like(code)
            died = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            found = signal.sigtimedwait(_STOPS, PAUSES[min(failures, len(PAUSES)) - 1])
            if found is not None:
                self._asked.append(found.si_signo)  # the next runner ends the queue in good order

    def _start(self, died: str) -> tuple[bytes, int]:
        """Start a runner and wait for its end; returns what it told, and its exit code, which is
        negative where a signal ended it. Signals to stop are blocked afterwards.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            read, write = os.pipe()
        except OSError:
            return b"", UNEXPECTED  # no descriptor to be had: later, perhaps
        try:
            self._pid = os.fork()
        except OSError:
            os.close(read)
            os.close(write)
            return b"", UNEXPECTED
        if self._pid == 0:
            os.close(read)
            self._be(Before(write, self._nonce, died, time.monotonic() - self._began))
        os.close(write)
        self._owned = False
        self._ready = not died  # one that goes on has no handlers until it owns the queue
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        told = b""
        while data := os.read(read, 64):
            told += data
            if OWNED in data:
                signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
                early = [] if self._ready else self._asked
                self._owned = self._ready = True
                for number in early:
                    self._send(number)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        os.close(read)
        os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        pid, self._pid = self._pid, 0
        return told, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _be(self, before: Before) -> NoReturn:
        """Be the runner, in the process that was forked."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        code = UNEXPECTED
        try:
            code = self._run(before)
        except KeyboardInterrupt:  # before the runner could take it
            _end_like(-signal.SIGINT)
        except BaseException:
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def _pass_on(self, number: int, _frame: object) -> None:
        self._asked.append(number)
        if self._pid and self._ready:
            self._send(number)

    def _send(self, number: int) -> None:
        ways = {stop: way for way, stop in PASSED_ON.items()}
        os.kill(self._pid, ways[number] if self._owned else number)  # type: ignore[index]


def _end_like(code: int) -> int:
    """End as the runner did."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
        os.kill(os.getpid(), -code)
    return code


def _nonce() -> str:
    return os.urandom(8).hex()


def _be_the_last_to_go() -> None:
    """When memory runs out, others are ended first. Only root may ask for that."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("-500")
