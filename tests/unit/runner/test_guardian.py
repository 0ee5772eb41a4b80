"""The guardian, when no process can be forked."""

import os
import signal
from collections.abc import Iterator

import pytest

from spawn.runner import guardian
from spawn.runner.guardian import INTERNAL_ERROR, OWNED, RunnerContext, _Guardian

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep this process's signal handlers, and its priority when memory runs out."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    monkeypatch.setattr(guardian, "_avoid_oom_kill", lambda: None)
    monkeypatch.setattr(guardian, "PAUSES", (0.0,))
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _fail_fork(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """Fail these calls of `fork`, counted from 1."""
    fork, calls = os.fork, iter(range(1, 100))

    def fork_or_fail() -> int:
        if next(calls) in numbers:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return fork()

    monkeypatch.setattr(os, "fork", fork_or_fail)


def test_a_failed_fork_is_retried_and_the_last_death_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(context: RunnerContext) -> int:
        if context.previous_death:
            return 0 if context.previous_death == "signal SIGKILL" else 9
        os.write(context.guardian_fd, OWNED)
        os.kill(os.getpid(), signal.SIGKILL)
        return 8

    _fail_fork(monkeypatch, 2, 3)
    assert _Guardian(run, restarts=3).watch() == 0


def test_a_runner_that_cannot_be_forked_at_all_is_an_internal_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _fail_fork(monkeypatch, 1)
    assert _Guardian(lambda _: 0, restarts=3).watch() == INTERNAL_ERROR
