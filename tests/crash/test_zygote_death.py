"""A zygote, or a supervisor that waits for work, that is killed: the queue goes on."""

import os
import signal

import pytest
from tests.support.processes import children, is_alive
from tests.support.queues import Queue, World, job, until

from spawn.store.failpoints import VARIABLE

pytestmark = pytest.mark.cold  # elsewhere its parent is not the runner


def zygote(queue: Queue) -> int:
    """The zygote of the queue's runner."""
    (pid,) = children(queue.runner())
    return pid


def test_the_queue_goes_on_without_its_zygote(world: World) -> None:
    queue = world.queue(job("a", until("go")), *(job(f"j{number}", "true") for number in range(4)))
    process = queue.start()
    queue.wait_executing("a")
    first = zygote(queue)
    os.kill(first, signal.SIGKILL)
    world.let("go")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "5 of 5 jobs completed" in out
    assert queue.types() == ["QueueSubmitted", "QueueStarted", "QueueCompleted"]
    assert {tuple(queue.types(name)) for name in queue.state.jobs} == {
        ("JobStarted", "JobCompleted")
    }
    assert queue.executed() == [("a", 1), *((f"j{number}", 1) for number in range(4))]


def test_the_queue_goes_on_without_the_supervisor_that_is_ready_for_the_next_job(
    world: World,
) -> None:
    queue = world.queue(job("a", until("go")), job("b", "true"), job("c", "true"))
    counter = world.folder / "counter"
    process = queue.start(env={**world.environ, VARIABLE: f"supervisor.ready:2:{counter}"})
    queue.wait_executing("a")
    first = queue.supervisor("a")
    queue.until(
        lambda: counter.stat().st_size == 2 and children(zygote(queue)) == [first],
        "the second supervisor was ready, and has died",
    )
    world.let("go")
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert queue.executed() == [("a", 1), ("b", 1), ("c", 1)]


def test_the_queue_goes_on_when_all_but_its_runner_die_again_and_again(world: World) -> None:
    queue = world.queue(
        *(job(f"j{number}", f"touch {number}; {until('go')}") for number in range(2))
    )
    queue.detach()
    queue.wait_executing("j0")
    first = zygote(queue)
    family = [first, *children(first)]
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    queue.wait_for("JobInterrupted", "j0")
    queue.wait_executing("j0", 2)
    world.let("go")
    queue.wait_for("QueueCompleted")
    assert not is_alive(first)


def test_everything_may_die_at_once(world: World) -> None:
    queue = world.queue(
        job("a", f"[ $JOB_ATTEMPT = 2 ] || {{ setsid sleep 79 & {until('never')}; }}"),
        job("b", "true", "a"),
    )
    queue.detach()
    queue.wait_executing("a")
    runner, first = queue.runner(), zygote(queue)
    for pid in (queue.supervisor("a"), first, runner):
        os.kill(pid, signal.SIGKILL)
    queue.wait_idle()
    assert queue.resume().code == 0
    assert queue.executed() == [("a", 1), ("a", 2), ("b", 1)]
    assert queue.data("a", "JobInterrupted").cause == "lost"
