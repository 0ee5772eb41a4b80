"""The loop's record of how long it owned the queue, with a fake clock."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.support.configs import job, queue
from tests.support.logs import owner, resumed, submission

from spawn.core.config.model import QueueConfig
from spawn.core.domain.attempt_exit import AttemptExit
from spawn.core.domain.events import Draft, QueueStarted
from spawn.core.domain.state import JobState, QueueState
from spawn.runner.loop.epoch import SAVE_OWNED_SECONDS
from spawn.runner.loop.queue_loop import Runner
from spawn.runner.ports import Ended, LoopMessage, Prepared, Shipped
from spawn.runner.runner_process import RunOptions
from spawn.store.log.ledger import Ledger

START = datetime(2026, 1, 27, 22, 5, 32, tzinfo=UTC)


class Died(BaseException):
    """The runner has been killed."""


class World:
    """All ports of a runner: one job at a time, which ends after a fixed time."""

    def __init__(self, seconds: float, *, dies_at: float | None = None) -> None:
        self.now = 0.0
        self.jump = timedelta(0)
        self.told: list[float] = []
        self._seconds = seconds
        self._dies_at = dies_at
        self._over: tuple[float, str] | None = None
        self._stopped = False
        self._news: list[LoopMessage] = []

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.now) + self.jump

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float | None) -> Iterable[LoopMessage]:
        news, self._news = self._news, []
        if news:
            return news
        until = self.now + (3600.0 if seconds is None else seconds)
        if self._over is not None and self._over[0] <= until:
            at, token = self._over
            self._over = None
            self.now = max(self.now, at)
            stop = "stop" if self._stopped else None
            return [Ended(token, AttemptExit(exit_code=143 if stop else 0, stop=stop))]  # type: ignore[arg-type]
        self.now = until
        if self._dies_at is not None and self.now >= self._dies_at:
            raise Died
        return []

    def prepare(self, job: JobState, attempt: int) -> Prepared:
        token = f"{job.config.job_id}{attempt}"
        return Prepared(token=token, pid=7, folder="", log_file="", log_offset=0)

    def open_gate(self, token: str) -> None:
        self._over = (self.now + self._seconds, token)

    def adopt(self, job: JobState) -> None:
        self._over = (self.now + self._seconds, job.token)

    def stop(self, token: str, cause: str, grace: float) -> None:
        self._stopped = True
        self._over = (self.now, token)

    def committed(self, seq: int) -> None:
        self._news.append(Shipped(seq))

    def __getattr__(self, name: str) -> Any:
        """Ignore other calls to the ports."""
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_, **__: None


def _run(path: Path, world: World, opening: QueueStarted, *, epoch: int) -> QueueState:
    ledger = Ledger(path, "nightly")
    try:
        return Runner(
            ledger=ledger,
            launcher=world,
            publisher=world,
            replica=world,
            clock=world,
            waiter=world,
            opening=[Draft(opening)],
            epoch=epoch,
            fraction=lambda: 0.5,
            last_lines=lambda _: (),
            on_committed=lambda _: None,
            warn=lambda _: None,
            on_answered=lambda _: None,
            plans=RunOptions(),
            save_owned=world.told.append,
        ).run()
    finally:
        ledger.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Path of a log."""
    return tmp_path / "events.db"


def _submit(path: Path, config: QueueConfig) -> None:
    ledger = Ledger(path, "nightly")
    ledger.stage(submission(config), at=START)
    ledger.commit()
    ledger.close()


def test_a_clock_jump_does_not_count_against_global_timeout(log: Path) -> None:
    _submit(log, queue(job("a"), job("b", "a"), global_timeout=3600.0))
    world = World(60.0)
    prepare = world.prepare

    def jump(job: JobState, attempt: int) -> Prepared:
        world.jump += timedelta(days=1)
        return prepare(job, attempt)

    world.prepare = jump  # type: ignore[method-assign]
    state = _run(log, world, owner(), epoch=1)
    assert state.state == "completed"
    assert state.owned_seconds == 120.0


def test_owned_time_is_recorded_repeatedly_during_a_long_job(log: Path) -> None:
    _submit(log, queue(job("a")))
    world = World(1000.0)
    _run(log, world, owner(), epoch=1)
    apart = [b - a for a, b in zip(world.told, world.told[1:], strict=False)]
    assert world.told[0] == 0.0
    assert world.told[-1] >= 1000.0 - 2 * SAVE_OWNED_SECONDS
    assert min(apart) >= SAVE_OWNED_SECONDS
    assert max(apart) <= 2 * SAVE_OWNED_SECONDS


def test_many_short_jobs_do_not_record_it_more_often(log: Path) -> None:
    _submit(log, queue(*(job(f"j{n}") for n in range(100))))
    world = World(0.5)
    _run(log, world, owner(), epoch=1)
    assert len(world.told) <= 50 / SAVE_OWNED_SECONDS + 1


def test_the_time_of_a_dead_runner_counts_for_the_next_one(log: Path) -> None:
    _submit(log, queue(job("a"), global_timeout=1000.0))
    first = World(5000.0, dies_at=600.0)
    with pytest.raises(Died):
        _run(log, first, owner(), epoch=1)
    again = World(5000.0)
    assert first.told[-1] >= 600.0 - 2 * SAVE_OWNED_SECONDS
    state = _run(log, again, structs.replace(resumed(), owned_seconds=first.told[-1]), epoch=2)
    assert (state.state, state.reason) == ("failed", "global_timeout")
    assert 400.0 <= again.now <= 400.0 + 2 * SAVE_OWNED_SECONDS
    assert 1000.0 <= state.owned_seconds <= 1000.0 + 2 * SAVE_OWNED_SECONDS
