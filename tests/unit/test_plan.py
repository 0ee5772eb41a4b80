"""The next step of a queue."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.configs import chain, job, queue
from tests.support.legal import Drawn, Driver, drivers, random_config
from tests.support.logs import LogBuilder, running, started
from tests.support.naive import NaiveQueue
from tests.support.soak import scaled

from spawn.core.config.model import QueueConfig
from spawn.core.domain import decide
from spawn.core.domain.attempt_exit import AttemptExit
from spawn.core.domain.events import (
    JobCompleted,
    JobFailed,
    JobRetryScheduled,
    Outcome,
    QueueCompleted,
    QueueFailed,
    ResultsUploadFailed,
)
from spawn.core.domain.plan import Finish, Start, Wait, likely_next, plan
from spawn.core.domain.state import JobState, QueueState

QUICK = settings(max_examples=scaled(25, 100), deadline=None)
OK = JobCompleted(exit_code=0)
FAILED = JobFailed(exit_code=1, why="no attempts left")
RETRY = JobRetryScheduled(exit_code=1, delay=10.0, retry_at="2026-01-27T22:06:00.000000Z")


@QUICK
@given(st.data())
def test_a_queue_whose_every_attempt_succeeds_always_completes(data: st.DataObject) -> None:
    choose = Drawn(data.draw)
    driver = Driver(choose, random_config(choose))
    driver.succeed(most=200)
    assert driver.state.state == "completed"
    assert {event.attempt for event in driver.log.events if event.type == "JobStarted"} <= {1}


@QUICK
@given(drivers())
def test_any_queue_completes_once_everything_succeeds(
    driver: Driver,
) -> None:
    driver.succeed()
    assert driver.state.counts["completed"] == len(driver.state.jobs)


@QUICK
@given(drivers())
def test_at_most_max_parallel_jobs_run_and_none_before_its_dependencies(
    driver: Driver,
) -> None:
    naive, most = NaiveQueue(), 0
    for event in driver.log.events:
        naive.take(event)
        config = getattr(event.data, "config", None)
        if isinstance(config, QueueConfig):
            most = config.max_parallel
        if event.type == "JobStarted":
            assert len(naive.entered("running")) <= most
            assert not naive.missing(naive.jobs[event.job_id or ""])


@QUICK
@given(drivers())
def test_planning_changes_nothing_and_is_the_same_after_a_replay(driver: Driver) -> None:
    first = plan(driver.state)
    assert plan(driver.state) == first
    assert plan(driver.log.replay().state) == first


def _state(log: LogBuilder) -> QueueState:
    return log.replay().state


def _run(log: LogBuilder, job_id: str, *outcome: Outcome) -> None:
    log.job(job_id, started(job_id), *outcome, attempt=1)


def _starts(state: QueueState, due: JobState | None = None) -> str:
    step = plan(state, due)
    assert isinstance(step, Start)
    return step.job.config.job_id


def test_ready_jobs_start_in_the_order_of_the_file() -> None:
    log = running(queue(job("c"), job("a"), job("b"), max_parallel=2))
    assert _starts(_state(log)) == "c"
    log.job("c", started("c"), attempt=1)
    assert _starts(_state(log)) == "a"


def test_no_job_starts_while_max_parallel_jobs_run() -> None:
    log = running(queue(job("a"), job("b")))
    log.job("a", started("a"), attempt=1)
    assert plan(_state(log)) == Wait()


def test_a_due_retry_starts_in_the_order_of_the_file() -> None:
    log = running(queue(job("a"), job("b", attempts=2), job("c"), max_parallel=3))
    log.job("a", started("a"), attempt=1)
    _run(log, "b", RETRY)
    state = _state(log)
    assert _starts(state) == "c"
    assert _starts(state, state.jobs["b"]) == "b"
    first = running(queue(job("a"), job("b", attempts=2)))
    _run(first, "b", RETRY)
    state = _state(first)
    assert _starts(state, state.jobs["b"]) == "a"


def test_a_retry_that_is_not_due_is_waited_for() -> None:
    log = running(queue(job("a", attempts=2)))
    _run(log, "a", RETRY)
    assert plan(_state(log)) == Wait()


def test_dependents_wait_for_an_upload_to_succeed_or_fail() -> None:
    log = running(queue(job("a", result_files=("out",)), job("b", "a")))
    _run(log, "a", OK)
    assert plan(_state(log)) == Wait()
    log.job("a", ResultsUploadFailed(error="denied"), attempt=1)
    assert _starts(_state(log)) == "b"


def test_after_a_failure_running_jobs_finish_and_no_job_starts() -> None:
    log = running(queue(job("a"), job("b"), job("c"), max_parallel=2))
    log.job("b", started("b"), attempt=1)
    _run(log, "a", FAILED)
    assert plan(_state(log)) == Wait()
    log.job("b", OK, attempt=1)
    assert plan(_state(log)) == Finish(QueueFailed(reason="jobs", detail="a"))


def test_after_a_failure_no_due_retry_starts() -> None:
    log = running(queue(job("a"), job("b", attempts=2), max_parallel=2))
    _run(log, "b", RETRY)
    _run(log, "a", FAILED)
    state = _state(log)
    assert plan(state, state.jobs["b"]) == Finish(QueueFailed(reason="jobs", detail="a"))


def test_with_continue_other_jobs_run_and_the_queue_fails() -> None:
    log = running(queue(job("a"), job("b", "a"), job("c"), on_failure="continue"))
    log.job("a", started("a"), attempt=1)
    state = _state(log)
    log.add(
        *decide.end_attempt(
            state, state.jobs["a"], AttemptExit(exit_code=1), now=log.now, fraction=0.0
        )
    )
    assert _starts(_state(log)) == "c"
    _run(log, "c", OK)
    assert plan(_state(log)) == Finish(QueueFailed(reason="jobs", detail="a"))


def test_results_that_could_not_be_uploaded_fail_the_queue() -> None:
    log = running(queue(job("a", result_files=("out",))))
    _run(log, "a", OK)
    log.job("a", ResultsUploadFailed(error="denied"), attempt=1)
    assert plan(_state(log)) == Finish(QueueFailed(reason="results", detail="a"))


def test_the_end_names_ten_failed_jobs_and_counts_the_rest() -> None:
    names = [f"j{number}" for number in range(12)]
    log = running(queue(*map(job, names), on_failure="continue"))
    for name in names:
        _run(log, name, FAILED)
    shown = ", ".join(names[:10])
    expected = QueueFailed(reason="jobs", detail=f"{shown} and 2 more")
    assert plan(_state(log)) == Finish(expected)


def test_when_all_jobs_are_completed_so_is_the_queue() -> None:
    log = running(chain(2))
    _run(log, "j0", OK)
    _run(log, "j1", OK)
    assert plan(_state(log)) == Finish(QueueCompleted())


def test_a_retry_waits_for_a_dependency_that_was_reset() -> None:
    """The results of `a` are lost with its machine while `b` waits for its retry."""
    log = running(queue(job("a"), job("b", "a", attempts=2), max_parallel=2))
    _run(log, "a", OK)
    _run(log, "b", RETRY)
    state = _state(log)
    log.add(*decide.reset_job(state, state.jobs["a"], reason="results_lost", by="runner"))
    state = _state(log)
    assert _starts(state, state.jobs["b"]) == "a"
    log.job("a", started("a", 2), attempt=2)
    state = _state(log)
    assert plan(state, state.jobs["b"]) == Wait()


def test_a_retry_that_depends_on_a_failed_job_does_not_delay_the_end() -> None:
    log = running(queue(job("a"), job("b", "a", attempts=2), on_failure="continue"))
    _run(log, "a", OK)
    _run(log, "b", RETRY)
    state = _state(log)
    log.add(*decide.reset_job(state, state.jobs["a"], reason="results_lost", by="runner"))
    log.job("a", started("a", 2), attempt=2)
    state = _state(log)
    log.add(
        *decide.end_attempt(
            state, state.jobs["a"], AttemptExit(exit_code=1), now=log.now, fraction=0.0
        )
    )
    state = _state(log)
    assert plan(state, state.jobs["b"]) == Finish(QueueFailed(reason="jobs", detail="a"))


def _foreseen(log: LogBuilder) -> str | None:
    job_ = likely_next(_state(log))
    return job_ and job_.config.job_id


def test_the_next_job_is_foreseen_while_another_runs() -> None:
    log = running(queue(job("a"), job("b", "a"), job("c")))
    assert _foreseen(log) is None
    log.job("a", started("a"), attempt=1)
    assert _foreseen(log) == "c"
    alone = running(chain(3))
    alone.job("j0", started("j0"), attempt=1)
    assert _foreseen(alone) == "j1"


def test_jobs_that_wait_for_more_than_running_jobs_are_not_foreseen() -> None:
    log = running(queue(job("a"), job("x", attempts=2), job("b", "a", "x")))
    _run(log, "x", RETRY)
    log.job("a", started("a"), attempt=1)
    assert _foreseen(log) is None


def test_no_job_is_foreseen_after_a_failure_stops_the_queue() -> None:
    log = running(queue(job("a"), job("b"), job("c", "b"), max_parallel=2))
    log.job("b", started("b"), attempt=1)
    _run(log, "a", FAILED)
    assert _foreseen(log) is None


@QUICK
@given(drivers())
def test_a_foreseen_job_waits_only_for_running_jobs(driver: Driver) -> None:
    state = driver.state
    job_ = likely_next(state)
    if job_ is not None:
        assert job_.state == "pending"
        naive = NaiveQueue()
        for event in driver.log.events:
            naive.take(event)
        running_ = set(job_.config.depends_on) & set(state.running)
        assert naive.missing(naive.jobs[job_.config.job_id]) <= len(running_)
