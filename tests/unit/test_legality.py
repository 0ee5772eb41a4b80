"""Rules beyond the transition tables: events that contradict earlier ones."""

from collections.abc import Callable

import pytest
from msgspec import structs
from tests.support.configs import chain, job, queue
from tests.support.logs import LogBuilder, owner, resumed, running, started, submission

from spawn.core.domain.events import (
    Draft,
    JobBlocked,
    JobCompleted,
    JobFailed,
    JobReset,
    JobsSubmitted,
    JobUnblocked,
    QueueCompleted,
    QueueFailed,
    QueueInterrupted,
    QueueReconfigured,
    QueueStarted,
    QueueSubmitted,
    RequestRefused,
    ResultsUploaded,
    ResultsUploadFailed,
)
from spawn.core.domain.submission import config_sha256
from spawn.core.errors import CorruptLog, IllegalTransition

OK = JobCompleted(exit_code=0)
TWO = queue(job("a"), job("b", "a"))
Damage = Callable[[LogBuilder], object]


def _refused(log: LogBuilder) -> CorruptLog:
    """Check that the last event is rejected and that all before it are legal."""
    *before, last = log.rows
    fold = LogBuilder(log.queue_id).replay()
    fold.feed(before)
    with pytest.raises(CorruptLog) as caught:
        fold.feed([last])
    assert caught.value.seq == log.seq
    return caught.value


ILLEGAL: dict[str, Damage] = {
    "an attempt that skips a number": lambda log: log.job("a", started("a"), attempt=2),
    "an attempt without a number": lambda log: log.job("a", started("a")),
    "a job before what it needs": lambda log: log.job("b", started("b"), attempt=1),
    "a job that is not there": lambda log: log.job("c", started("c"), attempt=1),
    "an event of a job that names none": lambda log: log.queue(started("a")),
    "an event of the queue that names a job": lambda log: log.job("a", QueueCompleted()),
    "an outcome of another attempt": lambda log: [
        log.job("a", started("a"), attempt=1),
        log.job("a", OK, attempt=2),
    ],
    "an event of an epoch that has ended": lambda log: [
        log.queue(resumed()),
        log.add(Draft(started("a"), "a", 1), epoch=1),
    ],
    "an event of a job in an epoch that has not begun": lambda log: log.add(
        Draft(started("a"), "a", 1), epoch=2
    ),
    "a job blocked by one that has not failed": lambda log: log.job("b", JobBlocked(by="a")),
    "a job unblocked by one that does not block it": lambda log: [
        log.job("a", started("a"), JobFailed(why="x"), attempt=1),
        log.job("b", JobBlocked(by="a"), JobUnblocked(by="b")),
    ],
    "an epoch that comes again": lambda log: log.queue(resumed(), epoch=1),
    "the queue's end in an epoch that is not its own": lambda log: log.queue(
        QueueFailed(reason="cancelled"), epoch=2
    ),
    "the end with a job left": lambda log: [
        log.job("a", started("a"), OK, attempt=1),
        log.queue(QueueCompleted()),
    ],
    "a failure while a job runs": lambda log: [
        log.job("a", started("a"), attempt=1),
        log.queue(QueueFailed(reason="jobs")),
    ],
    "a new configuration while a job runs": lambda log: [
        log.job("a", started("a"), attempt=1),
        log.queue(_reconfigured(1)),
    ],
    "more jobs after all were submitted": lambda log: log.queue(JobsSubmitted(jobs=(job("c"),))),
    "more jobs than were announced": lambda log: [
        log.queue(_reconfigured(2)),
        log.queue(JobsSubmitted(jobs=(job("b"), job("c")))),
    ],
    "a second submission": lambda log: log.add(*submission(TWO)),
    "a second start": lambda log: log.queue(owner()),
    "the queue's end before all jobs are known": lambda log: [
        log.queue(_reconfigured(2)),
        log.queue(QueueInterrupted(cause="signal")),
    ],
}


@pytest.mark.parametrize("damage", ILLEGAL.values(), ids=ILLEGAL)
def test_an_event_that_contradicts_the_log_is_rejected(damage: Damage) -> None:
    log = running(TWO)
    damage(log)
    _refused(log)


def test_a_queue_is_not_completed_while_results_are_pending_or_lost() -> None:
    log = running(queue(job("a", result_files=("out",))))
    log.job("a", started("a"), OK, attempt=1)
    log.queue(QueueCompleted())
    _refused(log)
    log = running(queue(job("a", result_files=("out",))))
    log.job("a", started("a"), OK, ResultsUploadFailed(error="denied"), attempt=1)
    log.queue(QueueCompleted())
    _refused(log)


def test_a_submission_with_more_jobs_than_announced_is_rejected() -> None:
    (draft,) = submission(TWO)
    assert isinstance(draft.data, QueueSubmitted)
    log = LogBuilder()
    log.queue(structs.replace(draft.data, jobs_total=1))
    assert _refused(log).seq == 1


def test_a_runner_may_take_a_queue_over_while_an_attempt_is_open() -> None:
    log = running(TWO)
    log.job("a", started("a"), attempt=1)
    log.queue(resumed(), QueueInterrupted(cause="signal"), resumed())
    log.job("a", OK, attempt=1)
    assert log.replay().state.jobs["a"].state == "completed"


def test_a_note_is_legal_everywhere() -> None:
    note = RequestRefused(request="reset c", why="there is no job c")
    log = LogBuilder()
    log.add(*submission(TWO))
    log.queue(note, owner(), note, QueueInterrupted(cause="signal"), note, resumed())
    log.queue(QueueFailed(reason="cancelled"), note)
    assert log.replay().state.state == "failed"


def test_the_error_of_an_illegal_event_names_event_state_and_legal_events() -> None:
    log = running(TWO)
    log.job("a", OK, attempt=1)
    error = _refused(log)
    assert isinstance(error, IllegalTransition)
    assert (error.event, error.state) == ("JobCompleted", "pending")
    assert error.legal == ("JobBlocked", "JobStarted")
    assert str(error) == (
        "event 3: JobCompleted is not legal for job a in state pending: "
        "legal here: JobBlocked, JobStarted"
    )


CONTRADICTIONS: dict[str, Damage] = {
    "a job starts before its new configuration is whole": lambda log: [
        log.queue(_reconfigured(2)),
        log.job("j0", started("j0"), attempt=1),
    ],
    "a new configuration holds more jobs than it announces": lambda log: log.queue(
        structs.replace(_reconfigured(2), jobs_total=0)
    ),
    "an upload of an attempt that is not the newest": lambda log: [
        log.job("a", started("a"), OK, attempt=1),
        log.job("a", JobReset(reason="results_lost", by="runner")),
        log.job("a", started("a", 2), OK, attempt=2),
        log.job("a", ResultsUploaded(files=0, size=0, key="k", sha256=""), attempt=1),
    ],
}


@pytest.mark.parametrize("damage", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_log_that_contradicts_itself_is_corrupt(damage: Damage) -> None:
    log = running(TWO)
    damage(log)
    _refused(log)


@pytest.mark.parametrize("job_id", ["a", "c"])
def test_a_note_about_any_job_changes_nothing(job_id: str) -> None:
    log = running(TWO)
    before = log.replay().state
    log.job(job_id, RequestRefused(request=f"reset {job_id}", why="no"))
    assert log.replay().state.jobs == before.jobs


def test_an_event_with_a_transition_cannot_be_marked_as_a_note() -> None:
    log = running(TWO)
    fold = log.replay()
    log.job("a", OK, attempt=1)
    line = log.entries.pop()[1]
    assert line.endswith(b'"type":"JobCompleted","v":1}')
    with pytest.raises(CorruptLog):
        fold.feed([running(TWO).following(b'{"note":true,' + line[1:])])


def _reconfigured(total: int) -> QueueReconfigured:
    """A new configuration of `total` jobs; this event has the first of them."""
    config = chain(total)
    return QueueReconfigured(
        config=structs.replace(config, jobs=config.jobs[:1]),
        jobs_total=total,
        config_sha256=config_sha256(config),
        changes=("jobs",),
    )


def test_a_start_is_a_kind_of_ownership() -> None:
    assert isinstance(resumed(), QueueStarted)


@pytest.mark.parametrize("job_id", ["..", "../x", "/etc/x", "a/b", "", "a\0", ".hidden", "a" * 129])
def test_a_job_id_that_is_an_unsafe_path_is_rejected(job_id: str) -> None:
    first = LogBuilder()
    first.add(*submission(queue(job("a"), job(job_id))))
    assert "is not a valid job id" in str(_refused(first))
    second = LogBuilder()
    submitted, *_ = submission(TWO)
    assert isinstance(submitted.data, QueueSubmitted)
    second.add(Draft(structs.replace(submitted.data, jobs_total=3)))
    second.queue(JobsSubmitted(jobs=(job(job_id),)))
    assert "is not a valid job id" in str(_refused(second))
