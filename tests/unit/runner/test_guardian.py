"""The guardian, when no process can be forked, and runners that cannot be restarted yet."""

import os
import signal
import sys
from collections.abc import Iterator

import msgspec
import pytest

from spawn.runner import bootstrap, guardian
from spawn.runner.guardian import INTERNAL_ERROR, OWNED, RunnerContext, _Guardian
from spawn.runner.ports import CannotPrepare
from spawn.runner.runner_process import RunRequest
from spawn.store.log.write import LogFull

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


@pytest.mark.parametrize(
    "error",
    [
        LogFull("the log cannot be written", why="disk full"),
        CannotPrepare("no process can be started"),
        OSError(28, "No space left on device"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("death", ["", "signal SIGKILL"], ids=["first", "restarted"])
def test_a_restart_that_fails_for_lack_of_space_or_processes_is_repeated(
    monkeypatch: pytest.MonkeyPatch, error: Exception, death: str
) -> None:
    def fail(*_: object) -> int:
        raise error

    read, write = os.pipe()
    monkeypatch.setattr(sys, "argv", ["runner", str(write)])
    monkeypatch.setattr(bootstrap, "_run", fail)
    request = RunRequest(
        task="run", queue_id="q", state="/s", log="/l", cache="/c", by="ana", config=None
    )
    context = RunnerContext(-1, "nonce", death)
    code = bootstrap.main(msgspec.json.encode(request), context)
    os.close(write)
    with open(read) as file:
        message = file.read()
    assert code == (INTERNAL_ERROR if death else 1)
    assert ("could not be restarted" in message) == bool(death)
