"""Events that follow from an outcome."""

from datetime import timedelta

import pytest
from tests.support.configs import job, queue
from tests.support.logs import START, LogBuilder, running, started

from spawn.core.config.model import QueueConfig, RetryPolicy
from spawn.core.domain import decide
from spawn.core.domain.attempt_exit import AttemptExit, StopCause
from spawn.core.domain.events import (
    Data,
    Draft,
    JobBlocked,
    JobCompleted,
    JobFailed,
    JobInterrupted,
    JobReset,
    JobRetryScheduled,
    JobUnblocked,
    Results,
    ResultsDelayed,
    ResultsUploaded,
)
from spawn.core.domain.evolve import evolve
from spawn.core.domain.state import JobState, QueueState
from spawn.core.values.timestamps import format_timestamp, parse_timestamp

OK = JobCompleted(exit_code=0)


def _running(config: QueueConfig, job_id: str = "a") -> QueueState:
    log = running(config)
    log.job(job_id, started(job_id), attempt=1)
    return log.replay().state


def _end(state: QueueState, exit_: AttemptExit, job_id: str = "a", **more: Results) -> list[Draft]:
    return decide.end_attempt(state, state.jobs[job_id], exit_, now=START, fraction=0.5, **more)


def _after(state: QueueState, seconds: float = 0.0) -> str:
    """Return when a command of `a` that took `seconds` has ended."""
    return format_timestamp(
        parse_timestamp(state.jobs["a"].started_at) + timedelta(seconds=seconds)
    )


def _only(drafts: list[Draft]) -> Data:
    (draft,) = drafts
    return draft.data


def test_exit_code_0_completes_the_job_with_its_measurements_and_manifest() -> None:
    results = Results(files=1, size=2, sha256="0" * 64)
    exit_ = AttemptExit(exit_code=0, wall_seconds=1.5, cpu_seconds=1.0, peak_memory_bytes=4096)
    state = _running(queue(job("a")))
    (draft,) = _end(state, exit_, results=results)
    assert draft == Draft(
        JobCompleted(
            exit_code=0,
            wall_seconds=1.5,
            cpu_seconds=1.0,
            peak_memory_bytes=4096,
            results=results,
            ended_at=_after(state, 1.5),
        ),
        job_id="a",
        attempt=1,
    )


def test_an_unobserved_end_has_no_time_of_its_own() -> None:
    state = _running(queue(job("a")))
    unseen = AttemptExit(exit_code=137, stop="stop", observed=False)
    assert _only(_end(state, unseen)) == JobInterrupted(cause="stop", exit_code=137)


@pytest.mark.parametrize("cause", ["stop", "spot", "fenced", "host"])
@pytest.mark.parametrize("exit_code", [0, 1, 143])
def test_after_a_stop_any_exit_code_is_an_interruption(cause: StopCause, exit_code: int) -> None:
    state = _running(queue(job("a")))
    data = _only(_end(state, AttemptExit(exit_code=exit_code, stop=cause)))
    assert data == JobInterrupted(cause=cause, exit_code=exit_code, ended_at=_after(state))


@pytest.mark.parametrize("exit_code", [0, 143])
def test_a_cancelled_job_has_failed_whatever_its_exit_code_and_budget(exit_code: int) -> None:
    state = _running(queue(job("a", attempts=3)))
    data = _only(_end(state, AttemptExit(exit_code=exit_code, stop="cancel")))
    assert data == JobFailed(exit_code=exit_code, why="cancelled", ended_at=_after(state))


@pytest.mark.parametrize("exit_code", [0, 143])
def test_a_timeout_fails_with_exit_code_124(exit_code: int) -> None:
    data = _only(_end(_running(queue(job("a"))), AttemptExit(exit_code=exit_code, stop="timeout")))
    assert isinstance(data, JobFailed)
    assert (data.exit_code, data.timed_out) == (124, True)


def test_a_timeout_is_retried_as_other_failures_are() -> None:
    data = _only(
        _end(_running(queue(job("a", attempts=2))), AttemptExit(exit_code=0, stop="timeout"))
    )
    assert isinstance(data, JobRetryScheduled)
    assert (data.exit_code, data.timed_out) == (124, True)


def test_an_unrequested_signal_is_a_failure_and_is_retried() -> None:
    exit_ = AttemptExit(exit_code=137, signal="SIGKILL")
    data = _only(_end(_running(queue(job("a", attempts=2))), exit_))
    assert isinstance(data, JobRetryScheduled)
    assert (data.exit_code, data.signal) == (137, "SIGKILL")


def test_a_retry_is_due_its_delay_after_the_decision() -> None:
    policy = RetryPolicy(max_attempts=2, backoff="exponential-jitter", base_delay=10.0)
    data = _only(_end(_running(queue(job("a", retry=policy))), AttemptExit(exit_code=1)))
    assert isinstance(data, JobRetryScheduled)
    assert data.delay == 7.5
    assert data.retry_at == format_timestamp(START + timedelta(seconds=7.5))


def test_a_command_that_never_started_is_interrupted() -> None:
    data = _only(_end(_running(queue(job("a"))), AttemptExit(exit_code=0, started=False)))
    assert data == JobInterrupted(cause="never_began")


def test_the_last_failure_blocks_all_direct_and_indirect_dependents() -> None:
    state = _running(queue(job("d", "c"), job("a"), job("c", "a"), job("x"), job("b", "a", "x")))
    failed, *blocked = _end(state, AttemptExit(exit_code=1))
    assert isinstance(failed.data, JobFailed)
    assert all(draft.data == JobBlocked(by="a") for draft in blocked)
    assert sorted(draft.job_id or "" for draft in blocked) == ["b", "c", "d"]


def test_a_failure_that_is_retried_blocks_no_job() -> None:
    state = _running(queue(job("a", attempts=2), job("b", "a")))
    assert isinstance(_only(_end(state, AttemptExit(exit_code=1))), JobRetryScheduled)


def test_two_losses_in_a_row_are_interruptions_and_the_third_fails_the_job() -> None:
    log = running(queue(job("a"), job("b", "a")))
    for attempt in (1, 2):
        log.job("a", started("a", attempt), attempt=attempt)
        state = log.replay().state
        lost = decide.lose_attempt(state, state.jobs["a"], "no record")
        assert _only(lost) == JobInterrupted(cause="lost", detail="no record")
        log.add(*lost)
    log.job("a", started("a", 3), attempt=3)
    state = log.replay().state
    failed, blocked = decide.lose_attempt(
        state, state.jobs["a"], "it left none", last_lines=("oh",)
    )
    assert failed.data == JobFailed(
        why="lost with its supervisor or host 3 times in a row; the last time it left none",
        last_lines=("oh",),
    )
    assert blocked == Draft(JobBlocked(by="a"), job_id="b")
    host = AttemptExit(exit_code=143, stop="host", wall_seconds=1.5)
    failed, _ = decide.end_attempt(
        state, state.jobs["a"], host, now=START, fraction=0.5, last_lines=("oh",)
    )
    assert failed.data == JobFailed(
        why="lost with its supervisor or host 3 times in a row",
        exit_code=143,
        wall_seconds=1.5,
        last_lines=("oh",),
        ended_at=_after(state, 1.5),
    )


def test_only_consecutive_losses_count() -> None:
    log = running(queue(job("a")))
    for attempt, cause in enumerate(("lost", "lost", "stop", "lost"), 1):
        log.job("a", started("a", attempt), JobInterrupted(cause=cause), attempt=attempt)
    log.job("a", started("a", 5), attempt=5)
    state = log.replay().state
    assert isinstance(_only(decide.lose_attempt(state, state.jobs["a"], "")), JobInterrupted)


def test_a_job_that_cannot_start_fails_at_once_and_blocks_its_dependents() -> None:
    state = _running(queue(job("a", attempts=3), job("b", "a")))
    failed, blocked = decide.fail_unprepared(state, state.jobs["a"], "it needs ${X}")
    assert failed.data == JobFailed(why="it needs ${X}")
    assert blocked.job_id == "b"


def _failing(log: LogBuilder, job_id: str) -> None:
    log.job(job_id, started(job_id), attempt=1)
    state = log.replay().state
    log.add(*_end(state, AttemptExit(exit_code=1), job_id))


def _reset(log: LogBuilder, job_id: str) -> list[tuple[str | None, Data]]:
    state = log.replay().state
    drafts = decide.reset_job(state, state.jobs[job_id], reason="retry", by="ana")
    log.add(*drafts)
    return [(draft.job_id, draft.data) for draft in drafts]


def test_a_reset_unblocks_the_dependents() -> None:
    log = running(queue(job("a"), job("b", "a"), job("c", "b"), on_failure="continue"))
    _failing(log, "a")
    assert _reset(log, "a") == [
        ("a", JobReset(reason="retry", by="ana")),
        ("b", JobUnblocked(by="a")),
        ("c", JobUnblocked(by="a")),
    ]
    assert log.replay().state.counts["pending"] == 3


def test_after_a_reset_dependents_of_another_failed_job_stay_blocked_by_it() -> None:
    log = running(queue(job("a"), job("b"), job("c", "a", "b"), on_failure="continue"))
    _failing(log, "a")
    _failing(log, "b")
    assert _reset(log, "a")[1:] == [("c", JobUnblocked(by="a")), ("c", JobBlocked(by="b"))]
    assert _reset(log, "b")[1:] == [("c", JobUnblocked(by="b"))]
    assert log.replay().state.jobs["c"].state == "pending"


def test_a_reset_of_a_job_without_blocked_dependents_affects_no_other() -> None:
    log = running(queue(job("a"), job("b"), job("c", "a", "b"), on_failure="continue"))
    _failing(log, "a")
    _failing(log, "b")
    assert len(_reset(log, "b")) == 1
    assert log.replay().state.jobs["c"].blocked_by == "a"


def test_a_reset_gives_a_fresh_budget_and_attempt_numbers_continue() -> None:
    log = running(queue(job("a")))
    _failing(log, "a")
    _reset(log, "a")
    job_ = log.replay().state.jobs["a"]
    assert (job_.failures, job_.attempts, job_.attempt) == (0, 0, 1)


def test_lost_results_of_a_completed_job_make_its_dependents_wait_again() -> None:
    log = running(queue(job("a"), job("b", "a")))
    log.job("a", started("a"), OK, attempt=1)
    _reset(log, "a")
    state = log.replay().state
    assert (state.jobs["b"].open_dependencies, state.jobs["b"].uncompleted_dependencies) == (1, 1)
    assert state.next_ready() is state.jobs["a"]


def test_a_job_reset_after_a_dependency_has_failed_is_blocked() -> None:
    """The results of `a` are lost after `b` has failed, and `a` fails when it runs again."""
    log = running(queue(job("a"), job("b", "a"), on_failure="continue"))
    log.job("a", started("a"), OK, attempt=1)
    _failing(log, "b")
    state = log.replay().state
    log.add(*decide.reset_job(state, state.jobs["a"], reason="results_lost", by="runner"))
    log.job("a", started("a", 2), attempt=2)
    log.add(*_end(log.replay().state, AttemptExit(exit_code=1)))
    _reset(log, "b")
    assert log.replay().state.jobs["b"].state == "blocked"


def test_dependents_of_a_job_reset_into_blocked_stay_blocked() -> None:
    """As before, and `c` depends on `b`."""
    log = running(queue(job("a"), job("b", "a"), job("c", "b"), on_failure="continue"))
    log.job("a", started("a"), OK, attempt=1)
    _failing(log, "b")
    state = log.replay().state
    log.add(*decide.reset_job(state, state.jobs["a"], reason="results_lost", by="runner"))
    log.job("a", started("a", 2), attempt=2)
    log.add(*_end(log.replay().state, AttemptExit(exit_code=1)))
    _reset(log, "b")
    state = log.replay().state
    assert [state.jobs[job_id].state for job_id in "abc"] == ["failed", "blocked", "blocked"]
    assert state.jobs["c"].blocked_by == "a"
    _reset(log, "a")
    assert log.replay().state.counts["pending"] == 3


def _through_train(**fields: str) -> LogBuilder:
    """prep → train → evaluate, the first two completed, with results in the store; or without,
    where `fields` names why."""
    log = running(
        queue(
            job("evaluate", "train"),
            job("train", "prep", result_files=("model",)),
            job("prep", result_files=("clean",)),
            on_failure="continue",
        )
    )
    for job_id in ("prep", "train"):
        saved: Data = ResultsUploaded(files=1, size=1, key="k", sha256="00")
        if job_id in fields:
            saved = ResultsDelayed(error=fields[job_id])
        log.job(job_id, started(job_id), OK, saved, attempt=1)
    return log


def _wanted(state: QueueState, *elsewhere: str) -> list[str]:
    return [each.config.job_id for each, _ in decide.results_to_restore(state, elsewhere)]


def test_results_of_all_ancestors_are_wanted_dependencies_first() -> None:
    state = _through_train().replay().state
    assert _wanted(state, "train", "prep") == ["prep", "train"]
    assert _wanted(state, "prep") == ["prep"]
    assert decide.jobs_to_rerun(state, ["train", "prep"]) == []


def test_lost_results_are_recomputed_for_an_indirect_dependent() -> None:
    log = _through_train(prep="away")
    state = log.replay().state
    assert [each.config.job_id for each in decide.jobs_to_rerun(state, ["prep"])] == ["prep"]
    log.add(*decide.reset_job(state, state.jobs["prep"], reason="results_lost", by="ana"))
    state = log.replay().state
    assert state.next_ready() is state.jobs["prep"], "the indirect dependent waits for it"
    assert state.open_needs(state.jobs["evaluate"]) == ["prep"]
    assert _wanted(state, "train") == [], "the rerun could overwrite it"
    log.job("prep", started("prep", 2), OK, attempt=2)
    state = log.replay().state
    assert state.jobs["prep"].attempts == 1
    assert state.next_ready() is None, "its results are being saved"
    log.job("prep", ResultsUploaded(files=1, size=1, key="k", sha256="00"), attempt=2)
    state = log.replay().state
    assert state.next_ready() is state.jobs["evaluate"]
    assert _wanted(state, "train") == ["train"]
    assert decide.results_to_restore(state, ["prep", "train"]) == [
        (state.jobs["prep"], state.jobs["prep"].ended_at),
        (state.jobs["train"], state.jobs["prep"].ended_at),
    ], "files of train have the later time"


def test_a_failed_rerun_blocks_indirect_dependents() -> None:
    log = _through_train(prep="away")
    state = log.replay().state
    log.add(*decide.reset_job(state, state.jobs["prep"], reason="results_lost", by="ana"))
    log.job("prep", started("prep", 2), attempt=2)
    failed, *blocked = _end(log.replay().state, AttemptExit(exit_code=1), "prep")
    assert blocked == [Draft(JobBlocked(by="prep"), job_id="evaluate")]
    log.add(failed, *blocked)
    assert _wanted(log.replay().state, "train") == [], "no remaining job needs it"
    assert decide.update_blocked(log.replay().state) == []
    assert _reset(log, "prep")[1:] == [("evaluate", JobUnblocked(by="prep"))]


def test_dependents_of_completed_jobs_wait_with_them() -> None:
    state = _through_train().replay().state
    assert decide.with_completed_dependents(state, ["prep"]) == {"prep", "train"}
    assert decide.has_pending_dependents(state, ["prep"])
    assert decide.highest_upstream(state, {"prep": 1}) == {"prep": 1, "train": 1, "evaluate": 1}
    assert decide.highest_upstream(state, {"prep": 3, "train": 2})["evaluate"] == 3
    assert decide.highest_upstream(state, {"train": 2}) == {"train": 2, "evaluate": 2}


class Counted(dict[str, JobState]):
    """Jobs that count their lookups."""

    asked = 0

    def __getitem__(self, job_id: str) -> JobState:
        self.asked += 1
        return super().__getitem__(job_id)


def test_a_long_chain_of_lost_results_takes_one_lookup_per_job() -> None:
    count = 2_000
    log = running(
        queue(*(job(f"j{n}", *(f"j{n - 1}",) * (n > 0), result_files=("r",)) for n in range(count)))
    )
    for n in range(count - 1):
        late = ResultsDelayed(error="away")
        log.job(f"j{n}", started(f"j{n}"), OK, late, attempt=1)
    state = log.replay().state
    ids = list(state.jobs)[:-1]
    state.jobs = jobs = Counted(state.jobs)
    lost = decide.jobs_to_rerun(state, ids)
    assert [each.config.job_id for each in reversed(lost)] == ids
    for each in lost:
        for event in log.add(*decide.reset_job(state, each, reason="results_lost", by="ana")):
            evolve(state, event)
    assert state.next_ready() is state.jobs["j0"]
    assert jobs.asked < 30 * count
