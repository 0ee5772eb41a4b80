"""The object store cannot be reached when a runner starts: is the queue ours? Nobody knows."""

import os
import signal

import pytest
from tests.support.machines import Machines, same
from tests.support.queues import Queue, World, job, until

from spawn.core.boot.names import SERVICE


def _chain(world: World) -> Queue:
    return world.queue(
        job("first", until("go")), job("second", "true", "first"), job("third", "true", "second")
    )


def _alone(queue: Queue) -> None:
    """Let the runner die and its job live on."""
    os.kill(queue.runner(), signal.SIGKILL)
    queue.wait_idle()


def test_a_new_queue_waits_for_the_store_and_then_runs(machines: Machines) -> None:
    a = machines.machine()
    queue = _chain(a)
    a.let("go")
    with machines.proxy.outage():
        process = queue.start()
        queue.wait_for("QueueStarted")
        queue.until(lambda: "no job starts until it can" in queue.told(), "it says so")
        assert queue.types("first") == []
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    same(queue, machines.remote())


def test_a_new_queue_begins_without_the_store_when_it_is_told_to(machines: Machines) -> None:
    a = machines.machine()
    queue = _chain(a)
    a.let("go")
    with machines.proxy.outage():
        process = queue.start("--offline")
        queue.wait_for("QueueCompleted")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    same(queue, machines.remote())


@pytest.mark.parametrize(("service", "code"), [("", 1), ("1", 75)], ids=["person", "systemd"])
def test_a_takeover_without_the_store_is_to_be_tried_again_and_then_goes_well(
    machines: Machines, service: str, code: int
) -> None:
    """Exit code 75 is for the unit, which asks for it; a person gets the manual page's."""
    a, b = machines.machine("a"), machines.machine("b")
    queue = _chain(a)
    queue.detach()
    queue.wait_executing("first")
    queue.stop()
    if service:
        b.environ[SERVICE] = service
    with machines.proxy.outage():
        done = b.spawn("resume", "q", "--from-s3")
        assert done.code == code, done
        assert "cannot be reached" in done.err
        assert "the same command, once the store can be reached" in done.err
    there = machines.on(b, queue)
    assert not there.paths.events.exists(), "a unit would take it for begun"
    b.let("go")
    done = b.spawn("resume", "q", "--from-s3")
    assert done.code == 0, done.err
    same(there, machines.remote())


def test_a_queue_that_the_store_never_heard_of_is_brought_there_by_the_next_runner(
    machines: Machines,
) -> None:
    a = machines.machine()
    queue = _chain(a)
    with machines.proxy.outage():
        queue.detach("--offline")
        queue.wait_executing("first")
        _alone(queue)
    a.let("go")
    queue.wait_over("first")
    done = queue.resume()
    assert done.code == 0, done.err
    assert queue.executed() == [("first", 1), ("second", 1), ("third", 1)]
    assert machines.remote().keys("_spawn/queue.json")
    same(queue, machines.remote())


def test_running_jobs_are_taken_up_without_the_store_and_nothing_new_begins(
    machines: Machines,
) -> None:
    a = machines.machine()
    queue = _chain(a)
    queue.detach()
    queue.wait_executing("first")
    _alone(queue)
    with machines.proxy.outage():
        process = a.start("resume", "q")
        queue.wait_for("QueueResumed")
        a.let("go")
        queue.wait_for("JobCompleted", "first")
        queue.until(lambda: "no job starts until it can" in queue.told(), "it says so")
        assert queue.types("second") == []
        status = a.status("q")
        assert status["replica"]["behind"] > 0
        assert "Could not connect" in status["replica"]["trouble"]
        assert "Replica: " in a.spawn("status", "q").out
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert queue.executed() == [("first", 1), ("second", 1), ("third", 1)]
    assert "replica" not in a.status("q")
    same(queue, machines.remote())


def test_a_queue_goes_on_without_the_store_when_it_is_told_to(machines: Machines) -> None:
    a = machines.machine()
    queue = _chain(a)
    queue.detach()
    queue.wait_executing("first")
    _alone(queue)
    a.let("go")
    with machines.proxy.outage():
        process = a.start("resume", "q", "--offline")
        queue.wait_for("QueueCompleted")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert queue.executed() == [("first", 1), ("second", 1), ("third", 1)]
    same(queue, machines.remote())
