"""A supervisor that is killed: its job is lost, and nothing of it lives on."""

import os
import signal

from tests.support.processes import attempt_processes, carriers, is_alive
from tests.support.queues import World, job, retry, until


def test_a_lost_job_is_ended_whole_and_tried_again_without_spending_budget(world: World) -> None:
    queue = world.queue(
        job("a", "[ $JOB_ATTEMPT = 2 ] || { sleep 71 & setsid sleep 72 & touch up; wait; }"),
        job("b", "true", "a"),
    )
    queue.detach()
    started = queue.wait_executing("a")
    queue.until((world.work / "up").exists, "its children are there")
    os.kill(queue.supervisor("a"), signal.SIGKILL)
    queue.wait_for("JobInterrupted", "a")
    assert attempt_processes(started) == []
    assert not is_alive(started.pid)
    interrupted = queue.data("a", "JobInterrupted")
    assert (interrupted.cause, interrupted.exit_code) == ("lost", None)
    queue.wait_for("QueueCompleted")
    assert queue.executed() == [("a", 1), ("a", 2), ("b", 1)]
    assert queue.state.jobs["a"].attempts == 1


def test_a_job_that_is_lost_three_times_in_a_row_fails(world: World) -> None:
    queue = world.queue(job("a", "kill -9 $PPID; sleep 60", retry=retry(5)), job("b", "true", "a"))
    assert queue.run().code == 1
    assert [event.data.cause for event in queue.of("a", "JobInterrupted")] == ["lost", "lost"]
    assert "3 times in a row" in queue.data("a", "JobFailed").why
    assert queue.types("b") == ["JobBlocked"]


def test_losses_that_are_not_in_a_row_do_not_add_up(world: World) -> None:
    queue = world.queue(
        job(
            "a",
            "case $JOB_ATTEMPT in 1|2|4|5) kill -9 $PPID; sleep 60;; 3) exit 1;; esac",
            retry=retry(2),
        )
    )
    assert queue.run().code == 0
    assert [event.type for event in queue.of("a") if event.type != "JobStarted"] == [
        "JobInterrupted",
        "JobInterrupted",
        "JobRetryScheduled",
        "JobInterrupted",
        "JobInterrupted",
        "JobCompleted",
    ]


def test_what_a_command_starts_while_it_is_lost_is_ended_too(world: World) -> None:
    lose = "[ $JOB_ATTEMPT = 2 ] || { kill -9 $PPID; sleep 60; }"
    queue = world.queue(*(job(f"j{number}", lose) for number in range(60)))
    assert queue.run().code == 0
    left = carriers(f"SPAWN_HOME={world.home}")
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def test_the_loss_of_one_job_does_not_touch_the_others(world: World) -> None:
    queue = world.queue(
        job("a", "[ $JOB_ATTEMPT = 2 ] || sleep 73"),
        *(job(name, until("go")) for name in "bc"),
        max_parallel=3,
    )
    queue.detach()
    for name in "abc":
        queue.wait_executing(name)
    os.kill(queue.supervisor("a"), signal.SIGKILL)
    queue.wait_for("JobCompleted", "a")
    world.let("go")
    queue.wait_for("QueueCompleted")
    assert sorted(queue.executed()) == [("a", 1), ("a", 2), ("b", 1), ("c", 1)]


def test_what_dropped_its_environment_is_ended_with_a_lost_job_too(world: World) -> None:
    mark = f"MARK={world.folder}"
    queue = world.queue(
        job("a", f"[ $JOB_ATTEMPT = 2 ] || {{ env -i {mark} sleep 30 & touch up; wait; }}")
    )
    queue.detach()
    queue.wait_executing("a")
    queue.until((world.work / "up").exists, "its child is there")
    queue.until(lambda: carriers(mark) != [], "and has its own environment")
    (child,) = carriers(mark)
    os.kill(queue.supervisor("a"), signal.SIGKILL)
    queue.wait_for("QueueCompleted")
    alive = is_alive(child)
    if alive:
        os.kill(child, signal.SIGKILL)
    assert not alive


def test_a_supervisor_that_is_told_to_end_interrupts_its_job(world: World) -> None:
    queue = world.queue(job("a", "[ $JOB_ATTEMPT = 2 ] || sleep 60"))
    queue.detach()
    queue.wait_executing("a")
    os.kill(queue.supervisor("a"), signal.SIGTERM)
    queue.wait_for("QueueCompleted")
    assert queue.data("a", "JobInterrupted").cause == "host"
    assert queue.state.jobs["a"].attempts == 1


def test_why_a_job_was_being_ended_is_known_though_its_supervisor_died(world: World) -> None:
    queue = world.queue(
        job(
            "a",
            "trap 'touch told' TERM; [ $JOB_ATTEMPT = 2 ] || while :; do sleep 0.02; done",
            timeout="300ms",
            retry=retry(2),
        )
    )
    queue.detach()
    queue.wait_executing("a")
    queue.until((world.work / "told").exists, "its time is up")
    os.kill(queue.supervisor("a"), signal.SIGKILL)
    queue.wait_for("QueueCompleted")
    assert queue.data("a", "JobRetryScheduled").timed_out
