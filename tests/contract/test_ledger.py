"""The ledger keeps log and state in step, and rejects illegal events before they are written."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.configs import chain, job, queue
from tests.support.disks import fill, small_disk
from tests.support.legal import legal_logs
from tests.support.logs import (
    QUEUE_ID,
    START,
    LogBuilder,
    owner,
    resumed,
    running,
    started,
    submission,
)

from spawn.core.domain.events import (
    Draft,
    JobCompleted,
    JobFailed,
    QueueCompleted,
    QueueInterrupted,
    RequestRefused,
)
from spawn.core.errors import CorruptLog, IllegalTransition, LogConflict
from spawn.store.log import read
from spawn.store.log.ledger import Ledger
from spawn.store.log.write import LogFull

OK = JobCompleted(exit_code=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of the log to create."""
    return tmp_path / "events.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """A log of two jobs that a runner owns."""
    ledger = Ledger(path, QUEUE_ID)
    ledger.stage(submission(chain(2)), at=START)
    ledger.stage([Draft(owner())], at=START, epoch=1)
    ledger.commit()
    yield ledger
    ledger.close()


def _start(attempt: int = 1, job_id: str = "j0") -> Draft:
    return Draft(started(job_id, attempt), job_id, attempt)


def _in_step(ledger: Ledger, path: Path) -> bool:
    fold = read.replay(path, QUEUE_ID)
    return (ledger.seq, ledger.state, ledger.staged) == (fold.seq, fold.state, False)


def test_a_new_log_is_empty(path: Path) -> None:
    ledger = Ledger(path, QUEUE_ID)
    assert (ledger.empty, ledger.staged, ledger.seq) == (True, False, 0)
    assert ledger.commit() == []
    ledger.close()


def test_staged_events_are_visible_at_once_and_written_by_commit(
    ledger: Ledger, path: Path
) -> None:
    ledger.stage([_start()], at=START)
    assert ledger.staged
    assert ledger.state.jobs["j0"].state == "running"
    assert read.replay(path, QUEUE_ID).state.jobs["j0"].state == "pending"
    (event,) = ledger.commit()
    assert (event.seq, event.type, event.epoch) == (3, "JobStarted", 1)
    assert _in_step(ledger, path)


def test_events_staged_together_share_a_time_and_a_transaction(ledger: Ledger, path: Path) -> None:
    ledger.stage([_start(), Draft(OK, "j0", 1)], at=START + timedelta(seconds=5))
    ledger.stage([_start(job_id="j1")], at=START + timedelta(seconds=6))
    events = ledger.commit()
    assert [event.seq for event in events] == [3, 4, 5]
    assert [event.at[17:19] for event in events] == ["37", "37", "38"]
    assert _in_step(ledger, path)


def test_events_of_a_new_owner_have_its_epoch(ledger: Ledger, path: Path) -> None:
    ledger.stage([Draft(resumed()), _start()], at=START, epoch=2)
    ledger.stage([Draft(OK, "j0", 1)], at=START)
    assert [event.epoch for event in ledger.commit()] == [2, 2, 2]
    assert _in_step(ledger, path)


@pytest.mark.parametrize(
    "draft",
    [
        Draft(OK, "j0", 1),
        Draft(owner()),
        _start(job_id="j1"),
        _start(attempt=2),
        _start(job_id="x"),
    ],
    ids=["outcome", "owner", "unmet", "number", "unknown"],
)
def test_an_illegal_event_is_rejected_before_the_write_and_the_state_is_restored(
    ledger: Ledger, path: Path, draft: Draft
) -> None:
    before = read.replay(path, QUEUE_ID).state
    ledger.stage([_start()] if draft.job_id is None else [], at=START)
    with pytest.raises(CorruptLog):
        ledger.stage([draft, Draft(QueueCompleted())], at=START)
    assert ledger.state == before
    assert _in_step(ledger, path)
    assert ledger.commit() == []
    ledger.stage([_start()], at=START)
    assert [event.seq for event in ledger.commit()] == [3]


def test_an_illegal_transition_names_event_state_and_legal_events(ledger: Ledger) -> None:
    with pytest.raises(IllegalTransition) as caught:
        ledger.stage([Draft(OK, "j0", 1)], at=START)
    error = caught.value
    assert (error.event, error.state, error.seq) == ("JobCompleted", "pending", 3)
    assert error.legal == ("JobBlocked", "JobStarted")


def test_an_illegal_event_drops_all_staged_events(ledger: Ledger, path: Path) -> None:
    with pytest.raises(CorruptLog):
        ledger.stage([_start(), Draft(OK, "j0", 1), Draft(OK, "j0", 1)], at=START)
    assert _in_step(ledger, path)
    assert ledger.state.jobs["j0"].state == "pending"


def test_a_too_long_event_is_not_staged(ledger: Ledger, path: Path) -> None:
    ledger.stage([_start()], at=START)
    with pytest.raises(ValueError, match="the maximum is 65536"):
        ledger.stage([Draft(JobFailed(why="x" * 70_000), "j0", 1)], at=START)
    assert _in_step(ledger, path)


def test_rollback_drops_staged_events(ledger: Ledger, path: Path) -> None:
    ledger.stage([_start()], at=START)
    ledger.rollback()
    assert _in_step(ledger, path)


def test_after_another_writer_the_commit_fails_and_the_state_is_reread(
    ledger: Ledger, path: Path
) -> None:
    ledger.stage([_start()], at=START)
    other = Ledger(path, QUEUE_ID)
    other.stage([Draft(QueueInterrupted(cause="signal"))], at=START)
    other.commit()
    other.close()
    with pytest.raises(LogConflict):
        ledger.commit()
    assert ledger.state.state == "interrupted"
    assert _in_step(ledger, path)


def test_a_reopened_log_continues_at_its_end(path: Path) -> None:
    first = Ledger(path, QUEUE_ID)
    first.stage(submission(chain(2)), at=START)
    first.stage([Draft(owner())], at=START, epoch=1)
    first.commit()
    first.stage([_start()], at=START)
    first.close()
    second = Ledger(path, QUEUE_ID)
    assert second.seq == 2
    second.stage([_start()], at=START)
    assert second.commit()[0].seq == 3
    assert _in_step(second, path)
    second.close()


def test_an_inconsistent_log_is_not_opened(path: Path) -> None:
    log = running(chain(1))
    log.job("j0", OK, attempt=1)
    log.write(path)
    with pytest.raises(IllegalTransition):
        Ledger(path, QUEUE_ID)


@settings(max_examples=25, deadline=None)
@given(log=legal_logs(), data=st.data())
def test_any_legal_log_can_be_written_in_any_batches(
    tmp_path_factory: pytest.TempPathFactory, log: LogBuilder, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "events.db"
    ledger = Ledger(path, QUEUE_ID)
    for event in log.events:
        draft = Draft(event.data, event.job_id, event.attempt)
        ledger.stage([draft], at=START, epoch=event.epoch)
        if not data.draw(st.integers(0, 4)):
            ledger.commit()
    ledger.commit()
    assert _in_step(ledger, path)
    assert ledger.state.counts == log.replay().state.counts
    ledger.close()


NOTE = Draft(RequestRefused(request="reset x", why="y" * 8000))


def test_a_commit_fails_on_a_full_disk_and_succeeds_once_space_is_freed(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", kib=512) as disk:
        path = disk / "events.db"
        ledger = Ledger(path, QUEUE_ID)
        ledger.stage(submission(chain(2)), at=START)
        ledger.stage([Draft(owner())], at=START, epoch=1)
        ledger.commit()
        ballast = fill(disk)
        for _ in range(3):
            before = ledger.seq
            ledger.stage([_start(), *[NOTE] * 3], at=START)
            with pytest.raises(LogFull) as caught:
                ledger.commit()
            assert caught.value.hint
            assert ledger.seq == before
            assert _in_step(ledger, path)
        ballast.unlink()
        ledger.stage([_start(), *[NOTE] * 3], at=START)
        assert [event.seq for event in ledger.commit()] == [3, 4, 5, 6]
        assert _in_step(ledger, path)
        ledger.close()
        reopened = Ledger(path, QUEUE_ID)
        assert reopened.seq == 6
        reopened.close()


def test_a_log_that_fills_its_disk_keeps_every_committed_event(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=384) as disk:
        path = disk / "events.db"
        ledger = Ledger(path, QUEUE_ID)
        ledger.stage(submission(queue(job("j0"))), at=START)
        committed = [event.seq for event in ledger.commit()]
        with contextlib.suppress(LogFull):
            for _ in range(100):
                ledger.stage([NOTE], at=START)
                committed += [event.seq for event in ledger.commit()]
            pytest.fail("the disk is not full")
        assert len(committed) > 5
        assert ledger.seq == len(committed)
        assert _in_step(ledger, path)
        ledger.close()
        assert read.replay(path, QUEUE_ID).seq == len(committed)
