"""How long a runner that died without an event owned its queue."""

from datetime import timedelta

import pytest
from msgspec import structs
from tests.support.configs import job, queue
from tests.support.logs import LogBuilder, owner, resumed, started, submission

from spawn.core.domain.events import QueueInterrupted
from spawn.core.domain.resumption import owned_seconds

EVERY = 10.0


def _log(*, minutes: float) -> LogBuilder:
    """A runner whose newest event is this long after its first, by their times."""
    log = LogBuilder()
    log.add(*submission(queue(job("a"))))
    log.queue(owner())
    log.now += timedelta(minutes=minutes, seconds=-1)
    log.job("a", started("a"), attempt=1)
    return log


@pytest.mark.parametrize(
    ("told", "minutes", "expected"),
    [
        (600.0, 0.5, 600.0),  # a long job ran after its start
        (600.0, 10.2, 612.0),  # it wrote an event after its last hint
        (600.0, 60 * 24, 620.0),  # the clock was set forward by a day
        (600.0, -60, 600.0),  # and back by an hour
        (0.0, 0.05, 3.0),  # it died early
        (None, 10.0, 600.0),  # its machine is lost, including the hint
        (None, -60, 0.0),
    ],
)
def test_the_hint_counts_plus_a_limited_time_by_the_stamps(
    told: float | None, minutes: float, expected: float
) -> None:
    state = _log(minutes=minutes).replay().state
    assert owned_seconds(state, told, interval=EVERY) == expected


def test_an_ended_epoch_needs_no_hint() -> None:
    log = _log(minutes=1)
    log.queue(QueueInterrupted(cause="signal", owned_seconds=40.0))
    assert owned_seconds(log.replay().state, 99.0, interval=EVERY) is None


def test_recorded_epochs_add_up_regardless_of_their_stamps() -> None:
    log = LogBuilder()
    log.add(*submission(queue(job("a"))))
    log.queue(owner(), QueueInterrupted(cause="signal", owned_seconds=40.0), resumed())
    log.now += timedelta(days=1)
    log.queue(structs.replace(resumed(), owned_seconds=2.5))
    log.queue(QueueInterrupted(cause="signal", owned_seconds=7.0))
    assert log.replay().state.owned_seconds == 49.5


def test_a_negative_duration_counts_as_zero() -> None:
    log = LogBuilder()
    log.add(*submission(queue(job("a"))))
    log.queue(owner(), QueueInterrupted(cause="signal", owned_seconds=-5.0))
    assert log.replay().state.owned_seconds == 0.0
