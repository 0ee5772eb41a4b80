"""After every event of any legal log, the replayed state equals the result of scans."""

from hypothesis import given, settings
from tests.support.legal import Driver, drivers, legal_logs
from tests.support.logs import LogBuilder
from tests.support.naive import NaiveQueue, disagreements, outcomes_between_starts
from tests.support.soak import scaled

from spawn.core.domain.events import EpochEnd, JobReset, JobStarted, QueueResumed, QueueStarted
from spawn.core.domain.replay import Replay

THOROUGH = settings(max_examples=scaled(62, 250), deadline=None)
QUICK = settings(max_examples=scaled(25, 100), deadline=None)


@THOROUGH
@given(legal_logs())
def test_counts_and_indexes_equal_a_scan_after_every_event(log: LogBuilder) -> None:
    naive, fold = NaiveQueue(), Replay(log.queue_id)
    for event, row in zip(log.events, log.rows, strict=True):
        naive.take(event)
        fold.feed([row])
        if naive.whole:
            assert not disagreements(naive, fold.state), f"after event {event.seq}"


@QUICK
@given(legal_logs())
def test_ready_jobs_are_listed_once_in_the_order_of_the_file(log: LogBuilder) -> None:
    naive, fold = NaiveQueue(), Replay(log.queue_id)
    for event, row in zip(log.events, log.rows, strict=True):
        naive.take(event)
        fold.feed([row])
    state, found = fold.state, []
    while job := state.next_ready():
        found.append(job.config.job_id)
        state.move(job, "running")
    assert found == naive.startable()


@QUICK
@given(legal_logs())
def test_each_start_increments_the_attempt_number(log: LogBuilder) -> None:
    numbers: dict[str, list[int | None]] = {}
    names = set(log.replay().state.jobs)
    for event in log.events:
        if isinstance(event.data, JobStarted) and event.job_id in names:
            numbers.setdefault(event.job_id, []).append(event.attempt)
    for found in numbers.values():
        assert found == list(range(1, len(found) + 1))


@QUICK
@given(legal_logs())
def test_no_job_spends_more_than_its_budget(log: LogBuilder) -> None:
    fold = Replay(log.queue_id)
    for row in log.rows:
        fold.feed([row])
        if (state := fold.partial) and state.all_jobs_read:
            assert all(job.attempts <= job.max_attempts for job in state.jobs.values())


@QUICK
@given(legal_logs())
def test_an_attempt_has_exactly_one_outcome_before_the_next_starts(log: LogBuilder) -> None:
    assert set(outcomes_between_starts(log.events)) <= {1}


@QUICK
@given(legal_logs())
def test_a_completed_job_starts_again_only_after_a_reset(log: LogBuilder) -> None:
    completed: set[str | None] = set()
    for event in log.events:
        if event.type == "JobCompleted":
            completed.add(event.job_id)
        elif isinstance(event.data, JobReset):
            completed.discard(event.job_id)
        elif isinstance(event.data, JobStarted):
            assert event.job_id not in completed


@QUICK
@given(drivers())
def test_a_job_is_blocked_exactly_while_a_dependency_has_failed(driver: Driver) -> None:
    driver.act()  # within one transaction the two may differ
    state = driver.state
    for job in state.jobs.values():
        needs = [state.jobs[need] for need in job.config.depends_on]
        in_vain = any(need.state in ("failed", "blocked") for need in needs)
        if job.state in ("pending", "blocked"):
            assert (job.state == "blocked") == in_vain, job.config.job_id
        if job.state == "blocked":
            assert state.jobs[job.blocked_by].state == "failed"


@QUICK
@given(legal_logs())
def test_owned_time_is_measured_or_else_taken_from_the_stamps(
    log: LogBuilder,
) -> None:
    since, total, last = None, 0.0, log.events[0].at
    for event in log.events:
        data = event.data
        if isinstance(data, QueueResumed | EpochEnd) and since is not None:
            until = event.at if isinstance(data, EpochEnd) else last
            measured = data.owned_seconds
            total += _seconds(since, until) if measured is None else measured
            since = None
        if isinstance(data, QueueStarted):
            since = event.at
        last = event.at
    state = log.replay().state
    assert (state.owned_seconds, state.owned_since) == (total, since or "")


def _seconds(since: str, until: str) -> float:
    minutes = (int(until[14:16]) - int(since[14:16])) * 60
    return float(minutes + int(until[17:19]) - int(since[17:19])) % 3600
