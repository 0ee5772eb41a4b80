"""Time limits of a runner that is asked to stop, with a fake clock."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.support.configs import job, queue
from tests.support.logs import LogBuilder, owner, submission

from spawn.core.domain.events import QueueInterrupted
from spawn.core.domain.state import QueueState
from spawn.core.values.ttl import parse_ttl
from spawn.runner.ports import SpotNotice
from spawn.runner.shutdown.stopping import (
    CHECKPOINT_SECONDS,
    DRAIN_SECONDS,
    POWEROFF_UPLOAD_SECONDS,
    TIMED_CHECKPOINT_SECONDS,
    UPLOAD_SECONDS,
    StopReasons,
)

START = datetime(2026, 1, 27, 22, 0, tzinfo=UTC)
TERM, INT = 15, 2


class Time:
    """Fake `Clock`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.now - 1000.0)

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    """A clock."""
    return Time()


@pytest.fixture
def state() -> QueueState:
    """A queue with one job that has not run."""
    log = LogBuilder("q")
    log.add(*submission(queue(job("a"))))
    log.queue(owner())
    return log.replay().state


def _noticed(seconds: float, action: str = "terminate") -> SpotNotice:
    return SpotNotice(action, START + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("left", "kill_grace", "grace"),
    [
        (120, 30, 30),
        (120, 3, 3),
        (120, 600, 90),
        (45, 30, 15),
        (33, 30, 11),
        (3, 30, 2),
        (-9, 30, 2),
    ],
)
def test_jobs_get_the_rest_of_the_deadline_as_grace(
    time: Time, left: float, kill_grace: float, grace: float
) -> None:
    assert StopReasons(time).record_spot_notice(_noticed(left), kill_grace) == grace


def test_only_the_first_notice_counts_and_the_first_cause_is_recorded(time: Time) -> None:
    leaving = StopReasons(time)
    assert leaving.record_spot_notice(_noticed(120), 30) is not None
    assert leaving.record_spot_notice(_noticed(60), 30) is None
    leaving.record_signal(TERM)
    assert not leaving.immediate, "a machine that shuts down sends TERM, too"
    assert leaving.end_event == QueueInterrupted(
        cause="spot", detail="terminate at 2026-01-27T22:02:00.000000Z"
    )
    leaving.record_signal(TERM)
    assert leaving.immediate

    other = StopReasons(time)
    other.record_signal(INT)
    assert other.record_spot_notice(_noticed(120), 30) is not None
    assert other.end_event == QueueInterrupted(cause="signal", detail="SIGINT")
    assert other.ends_jobs


def test_uploads_may_take_the_rest_of_the_deadline(time: Time) -> None:
    leaving = StopReasons(time)
    leaving.record_spot_notice(_noticed(120), 30)
    time.now += 31
    assert not leaving.upload_wait_over
    assert not leaving.checkpoint_wait_over(is_progressing=False)
    assert leaving.next_at == 1120 - DRAIN_SECONDS
    time.now = 1120 - DRAIN_SECONDS
    assert leaving.upload_wait_over
    assert leaving.checkpoint_wait_over(is_progressing=True)


@pytest.mark.parametrize("flows", [True, False])
def test_a_stop_waits_for_checkpoints_while_they_make_progress(time: Time, flows: bool) -> None:
    leaving = StopReasons(time)
    leaving.record_signal(TERM)
    assert not leaving.checkpoint_wait_over(is_progressing=flows)
    time.now += (CHECKPOINT_SECONDS if flows else UPLOAD_SECONDS) - 0.1
    assert not leaving.checkpoint_wait_over(is_progressing=flows)
    time.now += 0.1
    assert leaving.checkpoint_wait_over(is_progressing=flows)
    leaving.record_signal(TERM)
    assert leaving.checkpoint_wait_over(is_progressing=True)


@pytest.mark.parametrize("text", ["8h", "2026-01-28T06:00:00Z"])
def test_a_ttl_expires_once(time: Time, state: QueueState, text: str) -> None:
    leaving = StopReasons(time, ttl=parse_ttl(text))
    assert not leaving.expire(state)
    assert leaving.next_at == 1000 + 8 * 3600
    time.now += 8 * 3600
    assert leaving.expire(state)
    assert not leaving.expire(state)
    assert leaving.ends_jobs
    assert leaving.end_event == QueueInterrupted(cause="ttl", detail=text)
    assert not leaving.checkpoint_wait_over(is_progressing=True)
    time.now += TIMED_CHECKPOINT_SECONDS
    assert leaving.checkpoint_wait_over(is_progressing=True)


def test_a_poweroff_waits_for_data_that_is_only_on_this_machine(
    time: Time, state: QueueState
) -> None:
    leaving = StopReasons(time, ttl=parse_ttl("1h"), powers_off=True)
    time.now += 3600
    assert leaving.expire(state)
    assert not leaving.upload_wait_over
    time.now += POWEROFF_UPLOAD_SECONDS - 1
    assert not leaving.upload_wait_over
    leaving.record_signal(TERM)
    assert leaving.upload_wait_over, "without a poweroff the wait is shorter"
