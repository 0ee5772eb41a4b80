"""Jobs that wait although their dependencies have completed."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.configs import job, queue
from tests.support.logs import START, LogBuilder, running, started

from spawn.core.domain.events import JobCompleted, ResultsUploaded
from spawn.runner.loop.queue_loop import Runner
from spawn.runner.ports import ResultsRestored, Shipped
from spawn.runner.runner_process import RunOptions
from spawn.runner.transfers.results import Saving
from spawn.store.log.ledger import Ledger
from spawn.store.log.write import LogWriter

OK = JobCompleted(exit_code=0)
UPLOADED = ResultsUploaded(files=1, size=1, key="k", sha256="00")


class Port:
    """A port that records its calls."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def wall(self) -> datetime:
        return START

    def monotonic(self) -> float:
        return 0.0

    def has_restored(self, job: Any) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **_: self.asked.append((name, args[0] if args else None))


@pytest.fixture
def log() -> LogBuilder:
    """prep and train have completed, with results in the store; evaluate has not run."""
    log = running(
        queue(
            job("prep", result_files=("clean",)),
            job("train", "prep", result_files=("model",)),
            job("evaluate", "train"),
        )
    )
    for job_id in ("prep", "train"):
        log.job(job_id, started(job_id), OK, UPLOADED, attempt=1)
    return log


def test_a_job_that_runs_again_waits_for_a_restore_that_could_overwrite_its_files(
    log: LogBuilder,
) -> None:
    """The results of train are being restored when those of prep turn out to be lost."""
    state, port = log.replay().state, Port()
    saving = Saving(port, port, lambda _: None, port)  # type: ignore[arg-type]
    saving.load(state, holds=lambda _: False)
    assert list(saving.restore(state, by="ana")) == []
    requested = [asked.config.job_id for name, asked in port.asked if name == "restore_results"]
    assert requested == ["prep", "train"]
    saving.record(ResultsRestored("prep", state.jobs["prep"].token, gone="it is lost"))
    for drafts in saving.drafts(state, by="ana"):
        log.add(*drafts)
    saving.mark_logged()
    state = log.replay().state
    assert state.next_ready() is state.jobs["prep"]
    assert list(saving.restore(state, by="ana")) == []
    assert "prep" in saving.held(state), "its new files would be overwritten"
    saving.record(ResultsRestored("train", state.jobs["train"].token, files=1))
    assert list(saving.drafts(state, by="ana")) == [], "train is restored once more after prep"
    saving.mark_logged()
    assert saving.held(state) == set()


def test_a_completion_that_is_not_in_the_store_holds_indirect_dependents(
    log: LogBuilder, tmp_path: Path
) -> None:
    """Durability `s3`: prep ran again, and train had completed before that."""
    port: Any = Port()
    with LogWriter(tmp_path / "events.db") as writer:
        writer.adopt(log.rows)
    ledger = Ledger(tmp_path / "events.db", log.queue_id)
    runner = Runner(
        ledger=ledger,
        launcher=port,
        publisher=port,
        replica=port,
        clock=port,
        waiter=port,
        opening=[],
        epoch=2,
        fraction=lambda: 0.5,
        last_lines=lambda _: (),
        on_committed=lambda _: None,
        warn=lambda _: None,
        on_answered=lambda _: None,
        plans=RunOptions(),
    )
    runner.epoch.hold_dependents("prep", 9)
    assert runner._held == {"prep", "train"}
    runner.epoch.record(Shipped(8))
    assert runner._held == {"prep", "train"}
    runner.epoch.record(Shipped(9))
    assert runner._held == set()
    ledger.close()
