"""A zygote or an idle supervisor is killed: the queue continues."""

import os
import resource
import signal

import pytest
from tests.support.processes import children, is_alive
from tests.support.queues import Queue, World, job, until

from spawn.store.failpoints import VARIABLE

pytestmark = pytest.mark.cold  # its parent is the runner only here


def zygote(queue: Queue) -> int:
    """The zygote of the queue's runner."""
    (pid,) = children(queue.runner())
    return pid


def test_the_queue_continues_without_its_zygote(world: World) -> None:
    queue = world.queue(job("a", until("go")), *(job(f"j{number}", "true") for number in range(4)))
    process = queue.start()
    queue.wait_executing("a")
    first = zygote(queue)
    os.kill(first, signal.SIGKILL)
    world.release("go")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "5 of 5 jobs completed" in out
    assert queue.types() == ["QueueSubmitted", "QueueStarted", "QueueCompleted"]
    assert {tuple(queue.types(name)) for name in queue.state.jobs} == {
        ("JobStarted", "JobCompleted")
    }
    assert queue.executed() == [("a", 1), *((f"j{number}", 1) for number in range(4))]


def test_the_queue_continues_without_the_idle_supervisor(
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
    world.release("go")
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert queue.executed() == [("a", 1), ("b", 1), ("c", 1)]


def test_the_queue_continues_when_zygote_and_supervisors_die(world: World) -> None:
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
    world.release("go")
    queue.wait_for("QueueCompleted")
    assert not is_alive(first)


def test_the_queue_resumes_after_runner_zygote_and_supervisor_died(world: World) -> None:
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


def test_a_job_that_gets_no_process_waits_and_readers_show_the_cause(world: World) -> None:
    world.override_constant("spawn.runner.loop.queue_loop.RETRY_SECONDS", 0.2)
    queue = world.queue(job("a", until("go")), job("b", until("end")), job("c", "true", "b"))
    queue.detach()
    queue.wait_executing("a")
    _, most = resource.prlimit(zygote(queue), resource.RLIMIT_NOFILE)
    for pid in (zygote(queue), *children(zygote(queue))):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (7, most))
    for spare in set(children(zygote(queue))) - {queue.supervisor("a")}:
        os.kill(spare, signal.SIGKILL)
    world.release("go")
    queue.until(lambda: bool(world.status("q")["troubles"]), "status knows")
    (trouble,) = world.status("q")["troubles"]
    assert (trouble["kind"], trouble["what"]) == ("start", "job b cannot start now")
    assert "Too many open files" in trouble["why"]
    assert "ulimit -n" in trouble["hint"]
    assert "Too many open files" in world.spawn("why", "q", "b").out
    resource.prlimit(zygote(queue), resource.RLIMIT_NOFILE, (most, most))
    queue.wait_executing("b")
    queue.until(lambda: not world.status("q")["troubles"], "it has passed")
    world.release("end")
    queue.wait_for("QueueCompleted")
