"""Background work that fails unexpectedly is reported and restarted."""

import threading
from datetime import UTC, datetime
from threading import Event, Thread

import pytest

from spawn.runner.ports import LoopMessage, SpotNotice
from spawn.runner.shutdown.spot_notices import Notices
from spawn.runner.threads import LONGEST_PAUSE, keep_running
from spawn.runner.transfers import workers as workers_module
from spawn.runner.transfers.workers import Workers
from spawn.store.aws.metadata import Metadata, Notice


def test_a_failed_thread_restarts_after_doubling_pauses(capsys: pytest.CaptureFixture[str]) -> None:
    pauses: list[float] = []

    def work() -> None:
        if len(pauses) < 8:
            raise KeyError("odd")

    keep_running("the test", work, pauses.append)
    assert pauses[:3] == [0.5, 1.0, 2.0]
    assert pauses[-1] == LONGEST_PAUSE
    err = capsys.readouterr().err
    assert err.count("unexpected error in the test") == 8
    assert "KeyError: 'odd'" in err


def test_a_worker_survives_a_failed_task_and_retries_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers_module, "FIRST_PAUSE", 0.01)
    done, other = Event(), Event()
    tries: list[int] = []

    def task() -> float | None:
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError("odd")
        done.set()
        return None

    workers = Workers("uploader")
    workers.add(task)
    workers.add(lambda: other.set())
    assert done.wait(30)
    assert other.wait(30)
    workers.close()
    assert capsys.readouterr().err.count("unexpected error in uploader") == 2


def test_tasks_run_although_no_more_threads_can_be_started() -> None:
    workers = Workers("uploader", 4)
    first, release, second = Event(), Event(), Event()
    before = threading.stack_size(1 << 46)  # more than the address space
    try:
        with pytest.raises(RuntimeError):
            Thread(target=release.set).start()
        workers.add(lambda: (first.set(), release.wait(30), None)[-1])
        workers.add(lambda: second.set())
    finally:
        threading.stack_size(before)
    assert first.wait(30)
    release.set()
    assert second.wait(30)
    workers.close()


def test_a_notice_is_seen_after_an_unexpected_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spawn.runner.threads.FIRST_PAUSE", 0.01)
    at = datetime(2026, 1, 27, tzinfo=UTC)

    class Odd(Metadata):
        asked = 0

        def notice(self) -> Notice | None:
            self.asked += 1
            if self.asked == 1:
                raise OverflowError("odd")
            return Notice("stop", at)

    posted: list[LoopMessage] = []
    there = Event()

    def post(happening: LoopMessage) -> None:
        posted.append(happening)
        there.set()

    notices = Notices(Odd(), post)
    notices.start()
    assert there.wait(30)
    notices.close()
    assert posted == [SpotNotice("stop", at)]
