"""Checkpoints in the log, and their effect."""

from tests.support.configs import job, queue
from tests.support.logs import LogBuilder, resumed, running, started

from spawn.core.domain.events import (
    CheckpointNotSaved,
    CheckpointPutBack,
    CheckpointSaved,
    JobCompleted,
    JobInterrupted,
    MachineKept,
    QueueFailed,
    QueueInterrupted,
)
from spawn.core.domain.plan import Start, Wait, plan
from spawn.core.domain.state import JobState

SAVED = CheckpointSaved(files=1, size=2, key="a/attempts/1.1/checkpoint.json", sha256="00")


def _interrupted() -> LogBuilder:
    log = running(queue(job("a"), job("b")))
    log.job("a", started("a"), JobInterrupted(cause="spot"), SAVED, attempt=1)
    return log


def _job(log: LogBuilder) -> JobState:
    return log.replay().state.jobs["a"]


def test_a_checkpoint_stays_valid_until_the_job_completes() -> None:
    log = _interrupted()
    assert _job(log).checkpoint == SAVED
    log.queue(QueueInterrupted(cause="spot"), resumed())
    log.job("a", started("a", 2), JobInterrupted(cause="lost"), attempt=2)
    log.job("a", CheckpointNotSaved(error="denied"), attempt=2)
    assert (_job(log).checkpoint, _job(log).checkpoint_error) == (SAVED, "denied")
    log.job("a", started("a", 3), attempt=3)
    assert _job(log).checkpoint_error == ""
    log.job("a", JobCompleted(exit_code=0), attempt=3)
    assert _job(log).checkpoint is None


def test_a_checkpoint_that_cannot_be_restored_is_dropped() -> None:
    log = _interrupted()
    log.job("a", CheckpointPutBack(files=1), attempt=1)
    assert _job(log).checkpoint == SAVED
    log.job("a", CheckpointPutBack(error="gone"), attempt=1)
    assert _job(log).checkpoint is None


def test_a_job_that_waits_for_its_checkpoint_lets_others_start() -> None:
    state = _interrupted().replay().state
    step = plan(state, held={"a"})
    assert isinstance(step, Start)
    assert step.job.config.job_id == "b"
    alone = running(queue(job("a"))).replay().state
    assert isinstance(plan(alone, held={"a"}), Wait)
    assert isinstance(plan(alone), Start)


def test_a_kept_machine_is_noted_until_the_queue_resumes() -> None:
    log = running(queue(job("a")))
    log.queue(QueueFailed(reason="cancelled"), MachineKept(why="its log is not all there"))
    assert log.replay().state.power_off_error == "its log is not all there"
    log.queue(resumed())
    assert log.replay().state.power_off_error == ""
