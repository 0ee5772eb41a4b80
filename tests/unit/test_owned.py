"""How long a runner that died without an event owned its queue."""

from datetime import timedelta

import pytest
from msgspec import structs
from tests.support.configs import job, queue
from tests.support.logs import LogBuilder, owner, resumed, started, submission

from spawn.core.events import QueueInterrupted
from spawn.core.owned import owned_seconds

EVERY = 10.0


def _log(*, minutes: float) -> LogBuilder:
    """A runner whose newest event is so long after its first, by the stamps."""
    log = LogBuilder()
    log.add(*submission(queue(job("a"))))
    log.queue(owner())
    log.now += timedelta(minutes=minutes, seconds=-1)
    log.job("a", started("a"), attempt=1)
    return log


@pytest.mark.parametrize(
    ("told", "minutes", "expected"),
    [
        (600.0, 0.5, 600.0),  # a job ran on in silence after its start
        (600.0, 10.2, 612.0),  # it wrote an event after it told
        (600.0, 60 * 24, 620.0),  # the clock was set forward by a day
        (600.0, -60, 600.0),  # and back by an hour
        (0.0, 0.05, 3.0),  # it died young
        (None, 10.0, 600.0),  # its machine is gone, and what it told with it
        (None, -60, 0.0),
    ],
)
def test_what_it_told_counts_and_a_little_of_what_the_stamps_say_beyond_it(
    told: float | None, minutes: float, expected: float
) -> None:
    state = _log(minutes=minutes).replay().state
    assert owned_seconds(state, told, every=EVERY) == expected


def test_an_epoch_that_has_an_end_has_said_so_itself() -> None:
    log = _log(minutes=1)
    log.queue(QueueInterrupted(cause="signal", owned_seconds=40.0))
    assert owned_seconds(log.replay().state, 99.0, every=EVERY) is None


def test_epochs_add_up_whatever_their_stamps_say() -> None:
    log = LogBuilder()
    log.add(*submission(queue(job("a"))))
    log.queue(owner(), QueueInterrupted(cause="signal", owned_seconds=40.0), resumed())
    log.now += timedelta(days=1)
    log.queue(structs.replace(resumed(), owned_seconds=2.5))
    log.queue(QueueInterrupted(cause="signal", owned_seconds=7.0))
    assert log.replay().state.owned_seconds == 49.5


def test_a_number_that_cannot_be_takes_nothing_back() -> None:
    log = LogBuilder()
    log.add(*submission(queue(job("a"))))
    log.queue(owner(), QueueInterrupted(cause="signal", owned_seconds=-5.0))
    assert log.replay().state.owned_seconds == 0.0
