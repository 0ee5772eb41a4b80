"""Retries: a timer is valid for one attempt only."""

from datetime import UTC, datetime

from tests.support.configs import job, queue
from tests.support.logs import running, started

from spawn.core.domain.events import JobRetryScheduled
from spawn.runner.loop.retries import Retries


class _Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)


def test_the_timer_of_an_earlier_attempt_does_not_shorten_the_delay_of_the_next() -> None:
    clock = _Clock()
    retries = Retries(clock)
    log = running(queue(job("a")))
    scheduled = JobRetryScheduled(exit_code=1, retry_at="", delay=0)
    for attempt, seconds in ((1, 10.0), (2, 60.0)):
        log.job("a", started("a", attempt), scheduled, attempt=attempt)
        state = log.replay().state
        retries.schedule(state.jobs["a"], seconds)
    clock.now = 10.0
    retries.collect_due(state)
    assert retries.first_due(state, ()) is None
    clock.now = 60.0
    retries.collect_due(state)
    assert retries.first_due(state, ()) is state.jobs["a"]
