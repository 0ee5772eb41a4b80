"""Restarts a runner that has died.

The guardian is the parent process of the runner. It imports little and only waits, so that the
kernel rarely kills both when memory runs out. Under a service manager, which restarts the runner
itself, there is no guardian.
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
"""Environment variable with the number of consecutive restarts; 0 disables restarts."""
DEFAULT_RESTARTS = 5
PAUSES = (0.5, 2.0, 8.0)
"""Seconds before each consecutive restart; the last value repeats. `wait` waits longer than this
for a runner."""
STABLE_SECONDS = 600.0
"""A runner that lives longer than this resets the number of consecutive restarts."""
INTERNAL_ERROR = 70
"""Exit code of a runner after an internal error. The guardian and systemd restart the runner."""
OWNED, STOPPING = b"o", b"s"
"""Messages from a runner to its guardian: it owns its queue; it was asked to stop."""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
FORWARDED = {signal.SIGRTMIN + 1: signal.SIGTERM, signal.SIGRTMIN + 2: signal.SIGINT}
"""Signals by which a guardian forwards a stop to a runner that owns its queue. A stop sent to a
process group, or to all processes of a service, reaches both, and must count once."""


class RunnerContext(NamedTuple):
    """What a runner receives from its guardian."""

    guardian_fd: int
    """Descriptor for messages to the guardian; -1 without a guardian."""
    nonce: str
    """Nonce of all leases that the runners of this order claim."""
    previous_death: str = ""
    """How the previous runner died, such as `signal SIGKILL`; empty for the first runner."""
    elapsed: float = 0.0
    """Seconds since the first runner started, by the monotonic clock."""


def guard(
    run: Callable[[bytes, RunnerContext], int], environ: Mapping[str, str], service: bool
) -> int:
    """Run the order on stdin, and restart its runner when that dies.

    Args:
        run: Runs an order; returns the exit code.
        service: Whether a service manager restarts this process: then the guardian does not.

    Returns:
        The exit code. If a signal killed the runner and there is no restart, this process dies
        from the same signal.
    """
    order = sys.stdin.buffer.read()
    restarts = _max_restarts(environ)
    if service or not restarts:
        return run(order, RunnerContext(-1, _nonce()))
    return _Guardian(lambda context: run(order, context), restarts).watch()


def _max_restarts(environ: Mapping[str, str]) -> int:
    text = environ.get(RESTARTS, "")
    return int(text) if text.isascii() and text.isdigit() else DEFAULT_RESTARTS


class _Guardian:
    def __init__(self, run: Callable[[RunnerContext], int], restarts: int) -> None:
        self._run = run
        self._restarts = restarts
        self._began = time.monotonic()
        self._nonce = _nonce()
        self._pid = 0
        self._ready = self._owned = False
        self._stops: list[int] = []
        """Stop signals received so far."""

    def watch(self) -> int:
        """Run the runner, and restart it when it dies; returns the exit code."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._forward)
        _avoid_oom_kill()
        died, failures, owned = "", 0, False
        while True:
            began = time.monotonic()
            messages, ended = self._run_once(died)
            code = INTERNAL_ERROR if ended is None else ended
            owned = owned or OWNED in messages
            if code >= 0 and code != INTERNAL_ERROR:
                return code
            if not owned or STOPPING in messages or -code in _STOP_SIGNALS:
                return _exit_like(code)
            failures = 1 if time.monotonic() - began > STABLE_SECONDS else failures + 1
            if failures > self._restarts:
                return _exit_like(code)
            if ended is not None:  # otherwise the runner before it is the last one that died
                died = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            found = signal.sigtimedwait(_STOP_SIGNALS, PAUSES[min(failures, len(PAUSES)) - 1])
            if found is not None:
                self._stops.append(found.si_signo)  # the next runner stops the queue cleanly

    def _run_once(self, died: str) -> tuple[bytes, int | None]:
        """Start a runner and wait for its end; leaves stop signals blocked.

        Returns:
            Its messages, and its exit code, which is negative if a signal killed it, or None if no
            process could be forked.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        try:
            read, write = os.pipe()
        except OSError:
            return b"", None  # out of descriptors: retry later
        try:
            self._pid = os.fork()
        except OSError:
            os.close(read)
            os.close(write)
            return b"", None
        if self._pid == 0:
            os.close(read)
            elapsed = time.monotonic() - self._began
            self._become_runner(RunnerContext(write, self._nonce, died, elapsed))
        os.close(write)
        self._owned = False
        self._ready = not died  # a restarted runner has no handlers until it owns the queue
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        messages = b""
        while data := os.read(read, 64):
            messages += data
            if OWNED in data:
                signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
                pending = [] if self._ready else self._stops
                self._owned = self._ready = True
                for number in pending:
                    self._send(number)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        os.close(read)
        os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        pid, self._pid = self._pid, 0
        return messages, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _become_runner(self, context: RunnerContext) -> NoReturn:
        """Run the runner in the forked process."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        code = INTERNAL_ERROR
        try:
            code = self._run(context)
        except KeyboardInterrupt:  # before the runner has set its handlers
            _exit_like(-signal.SIGINT)
        except BaseException:
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def _forward(self, number: int, _frame: object) -> None:
        self._stops.append(number)
        if self._pid and self._ready:
            self._send(number)

    def _send(self, number: int) -> None:
        aliases = {stop: alias for alias, stop in FORWARDED.items()}
        os.kill(self._pid, aliases[number] if self._owned else number)  # type: ignore[index]


def _exit_like(code: int) -> int:
    """Die from the signal that killed the runner; return other exit codes."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
        os.kill(os.getpid(), -code)
    return code


def _nonce() -> str:
    return os.urandom(8).hex()


def _avoid_oom_kill() -> None:
    """Let the kernel kill other processes first when memory runs out. Needs root."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("-500")
