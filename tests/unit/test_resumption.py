"""What a resumption does, and what a new configuration changes."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.support.configs import job, queue
from tests.support.legal import Drawn, Driver, drivers, random_config
from tests.support.logs import LogBuilder, resumed, running, started
from tests.support.soak import scaled

from spawn.core.config.model import QueueConfig, RetryPolicy
from spawn.core.domain import decide, resumption
from spawn.core.domain.attempt_exit import AttemptExit
from spawn.core.domain.events import (
    Draft,
    JobCompleted,
    JobReset,
    QueueCompleted,
    QueueFailed,
    QueueInterrupted,
    ResultsUploadFailed,
)
from spawn.core.domain.state import JobState, QueueState
from spawn.core.domain.submission import reconfigure
from spawn.core.errors import InvalidArgument, NothingToDo

THOROUGH = settings(max_examples=scaled(62, 250), deadline=None)
OK = JobCompleted(exit_code=0)


def _state(log: LogBuilder) -> QueueState:
    return log.replay().state


def _fail(log: LogBuilder, job_id: str) -> None:
    state = _state(log)
    log.job(job_id, started(job_id, state.jobs[job_id].attempt + 1), attempt=1)
    state = _state(log)
    log.add(
        *decide.end_attempt(
            state, state.jobs[job_id], AttemptExit(exit_code=1), now=log.now, fraction=0.0
        )
    )


def _failed(config: QueueConfig, job_id: str = "a") -> QueueState:
    log = running(config)
    _fail(log, job_id)
    log.queue(QueueFailed(reason="jobs", detail=job_id))
    return _state(log)


def _check(state: QueueState, *, retry_failed: bool = False, config: Any = None) -> None:
    resumption.check_resumable(state, retry_failed=retry_failed, config=config)


def _blocked_are_those_that_wait_in_vain(state: QueueState) -> None:
    def vain(job_: JobState) -> bool:
        needs = [state.jobs[need] for need in job_.config.depends_on]
        return any(
            need.state in ("failed", "blocked") or (need.state == "completed" and vain(need))
            for need in needs
        )

    for each in state.jobs.values():
        if each.state == "pending":
            assert not vain(each), each.config.job_id
        if each.state == "blocked":
            assert vain(each), each.config.job_id
            assert state.jobs[each.blocked_by].state == "failed"


# remaining work


def test_a_completed_queue_has_nothing_left_to_do() -> None:
    log = running(queue(job("a")))
    log.job("a", started("a"), OK, attempt=1)
    log.queue(QueueCompleted())
    with pytest.raises(NothingToDo, match="has completed"):
        _check(_state(log), retry_failed=True)


def test_a_failed_queue_resumes_only_with_retry_failed() -> None:
    state = _failed(queue(job("a"), job("b", "a")))
    with pytest.raises(NothingToDo, match="would fail again") as raised:
        _check(state)
    assert raised.value.hint == "`spawn queue resume nightly --retry-failed` retries a"
    _check(state, retry_failed=True)


def test_a_queue_with_unsaved_results_saves_them_on_resume() -> None:
    log = running(queue(job("a", result_files=("out",))))
    log.job("a", started("a"), OK, ResultsUploadFailed(error="denied"), attempt=1)
    log.queue(QueueFailed(reason="results", detail="a"))
    _check(_state(log))


def test_an_interrupted_queue_resumes() -> None:
    log = running(queue(job("a")))
    log.queue(QueueInterrupted(cause="signal", detail="SIGTERM"))
    _check(_state(log))


def test_a_timed_out_queue_needs_a_longer_global_timeout() -> None:
    log = running(queue(job("a"), global_timeout=1.0))
    log.queue(QueueFailed(reason="global_timeout"))
    state = _state(log)
    with pytest.raises(NothingToDo, match="used up its global_timeout"):
        _check(state)
    same = resumption.config_of(state)
    with pytest.raises(InvalidArgument, match="has already expired"):
        _check(state, config=same)
    _check(state, config=structs.replace(same, global_timeout=3600.0))


# a new configuration


def test_a_new_configuration_that_keeps_the_failure_is_rejected() -> None:
    state = _failed(queue(job("a"), job("b")))
    same = resumption.config_of(state)
    with pytest.raises(NothingToDo, match="would fail again"):
        _check(state, config=same)
    _check(state, config=same, retry_failed=True)
    _check(state, config=structs.replace(same, on_failure="continue"))
    _check(state, config=queue(job("b")))
    _check(state, config=queue(job("a", command="better"), job("b")))


@pytest.mark.parametrize("name", ["result_s3_bucket", "result_s3_prefix"])
def test_a_new_configuration_cannot_move_the_results(name: str) -> None:
    state = _failed(queue(job("a")))
    other = structs.replace(resumption.config_of(state), **{name: "elsewhere"})
    with pytest.raises(InvalidArgument, match=f"changes {name}"):
        _check(state, config=other)


def test_changes_are_listed_one_by_one() -> None:
    state = _failed(queue(job("a"), job("b"), job("c")))
    new = queue(
        job("a", command="better", retry=RetryPolicy(max_attempts=3)),
        job("b"),
        job("d"),
        global_timeout=5400.0,
    )
    assert resumption.describe_changes(state, new) == (
        "global_timeout: none -> 1h30m",
        "job a: command, retry",
        "job d is new",
        "job c is gone",
    )
    assert resumption.changed_failed_jobs(state, new) == ["a"]


def test_many_changes_are_abbreviated_and_counted() -> None:
    state = _failed(queue(job("a")))
    said = resumption.describe_changes(state, queue(job("a"), *(job(f"n{n}") for n in range(30))))
    assert len(said) == 21
    assert said[-1] == "and 10 more"
    assert resumption.changes_for_job(said, "n1") == ("job n1 is new",)


@pytest.mark.parametrize(
    ("job_id", "texts"),
    [
        ("a", ("global_timeout: none -> 1h30m", "job a: command")),
        ("a.is", ("global_timeout: none -> 1h30m", "job a.is is new")),
        ("c", ("global_timeout: none -> 1h30m", "job c is gone")),
        ("b", ("global_timeout: none -> 1h30m",)),
    ],
)
def test_a_job_is_affected_by_its_own_changes_and_those_of_the_queue(
    job_id: str, texts: tuple[str, ...]
) -> None:
    state = _failed(queue(job("a"), job("b"), job("c")))
    new = queue(job("a", command="better"), job("b"), job("a.is"), global_timeout=5400.0)
    assert resumption.changes_for_job(resumption.describe_changes(state, new), job_id) == texts


@THOROUGH
@given(drivers(), st.data())
def test_under_a_new_configuration_exactly_the_dependents_of_failed_jobs_are_blocked(
    driver: Driver, data: st.DataObject
) -> None:
    """The new configuration has other jobs, dependencies and order; `feed` checks each event."""
    state = driver.state
    assume(state.state in ("running", "interrupted", "failed"))
    assume(not state.running and not state.uploading)
    if state.state != "running":
        driver.log.queue(resumed())
    config = random_config(Drawn(data.draw))
    state = _state(driver.log)
    fresh = resumption.changed_failed_jobs(state, config)
    driver.log.add(*reconfigure(config, changes=resumption.describe_changes(state, config)))
    driver.log.add(*(Draft(JobReset(reason="retry", by="ana"), job_id=each) for each in fresh))
    driver.log.add(*decide.update_blocked(_state(driver.log)))
    after = _state(driver.log)
    assert list(after.jobs) == [each.job_id for each in config.jobs]
    assert not set(after.failed) & set(fresh)
    _blocked_are_those_that_wait_in_vain(after)


@THOROUGH
@given(drivers())
def test_after_a_retry_of_all_failed_jobs_none_is_blocked(driver: Driver) -> None:
    assume(driver.state.state in ("running", "interrupted", "failed"))
    if driver.state.state != "running":
        driver.log.queue(resumed())
    state = _state(driver.log)
    before = {job_id for job_id in state.jobs if state.jobs[job_id].state == "completed"}
    driver.log.add(*decide.reset_failed(state, by="ana", request="r1"))
    after = _state(driver.log)
    assert not after.failed
    assert not after.counts["blocked"]
    assert before == {job_id for job_id in after.jobs if after.jobs[job_id].state == "completed"}
    assert ("r1" in after.handled_requests) == bool(state.failed)
