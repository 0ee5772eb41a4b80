"""Stopping a queue gracefully, and resuming it."""

import os
import signal
import subprocess

import pytest
from tests.support.queues import Queue, World, job, until

WAITS = "[ $JOB_ATTEMPT = 2 ] || sleep 60"


def stop(queue: Queue, process: "subprocess.Popen[str]", number: int, whom: str) -> tuple[str, str]:
    """Send a signal to the command line or the runner; returns the command's output."""
    pid = process.pid if whom == "command line" else queue.runner()
    os.kill(pid, number)
    return process.communicate(timeout=30)


@pytest.mark.parametrize("whom", ["command line", "runner"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_queue_resumes(world: World, number: signal.Signals, whom: str) -> None:
    queue = world.queue(job("a", "true"), job("b", WAITS), job("c", "true", "b"))
    process = queue.start()
    queue.wait_executing("b")
    out, _ = stop(queue, process, number, whom)
    assert process.returncode == 128 + number
    assert queue.types("b") == ["JobStarted", "JobInterrupted"]
    interrupted = queue.data("b", "JobInterrupted")
    assert (interrupted.cause, interrupted.exit_code) == ("stop", 143)
    assert [event.type for event in queue.events()][-1] == "QueueInterrupted"
    assert queue.events()[-1].data.detail == number.name
    assert "spawn queue resume q" in out
    budget = queue.state.jobs["b"]
    assert (budget.state, budget.attempts, budget.attempt) == ("pending", 0, 1)

    assert queue.resume().code == 0
    assert queue.executed() == [("a", 1), ("b", 1), ("b", 2), ("c", 1)]
    assert queue.state.jobs["b"].attempts == 1
    assert [event.epoch for event in queue.job_events("b", "JobStarted")] == [1, 2]


def test_a_job_that_succeeds_after_a_stop_is_not_completed(world: World) -> None:
    queue = world.queue(
        job("a", "trap 'exit 0' TERM; [ $JOB_ATTEMPT = 2 ] || while :; do nap; done")
    )
    process = queue.start()
    queue.wait_executing("a")
    out, _ = stop(queue, process, signal.SIGTERM, "runner")
    assert process.returncode == 143
    assert queue.types("a") == ["JobStarted", "JobInterrupted"]
    interrupted = queue.data("a", "JobInterrupted")
    assert (interrupted.cause, interrupted.exit_code, interrupted.signal) == ("stop", 0, None)
    assert queue.types() == ["QueueSubmitted", "QueueStarted", "QueueInterrupted"]
    assert "a: attempt 1 interrupted (stop); budget unspent" in out
    assert "the runner was stopped by SIGTERM" in out
    assert queue.resume().code == 0


def test_every_running_job_is_stopped_and_no_other_starts(world: World) -> None:
    queue = world.queue(*(job(f"j{number}", WAITS) for number in range(6)), max_parallel=4)
    process = queue.start()
    queue.until(lambda: len(queue.executed()) == 4, "four run")
    stop(queue, process, signal.SIGTERM, "runner")
    ends = [event.type for event in queue.events() if event.type.startswith("JobI")]
    assert ends == ["JobInterrupted"] * 4
    assert len(queue.executed()) == 4
    assert queue.state.counts["pending"] == 6


@pytest.mark.parametrize(
    ("whom", "notes"),
    [
        (
            "command line",
            ["Stopping; press Ctrl-C again to stop at once.", "Stopping at once."],
        ),
        ("runner", []),
    ],
)
def test_a_second_interrupt_stops_at_once(world: World, whom: str, notes: list[str]) -> None:
    queue = world.queue(job("a", "trap 'touch told' TERM; while :; do nap; done"))
    process = queue.start()
    queue.wait_executing("a")
    pid = process.pid if whom == "command line" else queue.runner()
    os.kill(pid, signal.SIGINT)
    queue.until((world.work / "told").exists, "the job was told")
    os.kill(pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)  # the grace period is 30 s
    assert process.returncode == 130
    interrupted = queue.data("a", "JobInterrupted")
    assert (interrupted.cause, interrupted.signal) == ("stop", "SIGKILL")
    assert queue.types("a") == ["JobStarted", "JobInterrupted"]
    assert queue.types() == ["QueueSubmitted", "QueueStarted", "QueueInterrupted"]
    assert queue.events()[-1].data.detail == "SIGINT"
    assert "a: attempt 1 interrupted (stop); budget unspent" in out
    assert "Resume it with: spawn queue resume q" in out
    assert [line for line in err.splitlines() if line] == notes


def test_a_suspended_job_is_stopped(world: World) -> None:
    queue = world.queue(job("a", "kill -STOP $$; sleep 60"))
    process = queue.start()
    queue.wait_executing("a")
    stop(queue, process, signal.SIGTERM, "runner")
    assert process.returncode == 143


def test_a_stop_between_retries_is_immediate_and_keeps_the_budget(world: World) -> None:
    policy = {"max_attempts": 2, "backoff": "fixed", "delay": "1m"}
    queue = world.queue(job("a", "exit 1", retry=policy), job("b", until("go")))
    process = queue.start()
    queue.wait_executing("b")
    stop(queue, process, signal.SIGTERM, "runner")
    assert process.returncode == 143
    assert queue.types("a") == ["JobStarted", "JobRetryScheduled"]
    assert queue.state.jobs["a"].state == "retrying"


def test_a_queue_may_be_stopped_repeatedly(world: World) -> None:
    names = [f"j{number}" for number in range(24)]
    queue = world.queue(*(job(name, "true") for name in names), max_parallel=3)
    for epoch in range(1, 30):
        process = queue.start(*["--or-resume"] * (epoch > 1))
        seen = len(queue.events())
        queue.until(
            lambda process=process, enough=seen + epoch: (
                len(queue.events()) > enough or process.poll() is not None
            ),
            "it runs",
        )
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        if process.returncode == 0:
            break
        assert process.returncode == 143, queue.describe()
        assert queue.state.epoch == epoch
    assert queue.state.state == "completed"
    completed = [event.job_id for event in queue.events() if event.type == "JobCompleted"]
    assert sorted(completed) == sorted(names)


def test_a_stop_before_the_queues_start_is_reported(world: World) -> None:
    queue = world.queue(job("a", WAITS))
    process = queue.start()
    queue.until(queue.paths.lock.exists, "the runner has begun")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 143, out + err
    assert "is not on this machine" not in err


def test_a_job_that_timed_out_before_the_stop_has_timed_out(world: World) -> None:
    queue = world.queue(
        job("a", "trap 'touch told' TERM; while :; do nap; done", timeout="2s"),
        kill_grace="10m",
    )
    process = queue.start()
    queue.until((world.work / "told").exists, "its time is up")
    for number in (signal.SIGINT, signal.SIGTERM):  # two signals of one kind may be merged
        os.kill(queue.runner(), number)
    process.communicate(timeout=30)
    assert process.returncode in (130, 143)
    failed = queue.data("a", "JobFailed")
    assert (failed.exit_code, failed.timed_out, failed.signal) == (124, True, "SIGKILL")


def test_a_job_stopped_before_its_timeout_has_not_timed_out(world: World) -> None:
    queue = world.queue(
        job("a", "trap 'touch told' TERM; while :; do nap; done", timeout="3s"),
        kill_grace="4s",
    )
    process = queue.start()
    queue.wait_executing("a")
    stop(queue, process, signal.SIGTERM, "runner")
    assert process.returncode == 143
    interrupted = queue.data("a", "JobInterrupted")
    assert (interrupted.cause, interrupted.signal) == ("stop", "SIGKILL")
    assert interrupted.wall_seconds > 3


def test_a_job_stopped_with_its_queue_is_not_affected_by_a_later_cancel(
    world: World,
) -> None:
    queue = world.queue(job("a", "trap 'touch told' TERM; while :; do nap; done"), kill_grace="2s")
    process = queue.start()
    queue.wait_executing("a")
    os.kill(queue.runner(), signal.SIGTERM)
    queue.until((world.work / "told").exists, "the job was told")
    assert world.spawn("cancel", "q").code == 0
    process.communicate(timeout=30)
    assert queue.data("a", "JobInterrupted").cause == "stop"
    assert queue.state.reason == "cancelled"
