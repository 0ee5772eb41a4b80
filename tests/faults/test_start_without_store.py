"""The object store is unreachable when a runner starts, so ownership is unknown."""

import os
import signal

import pytest
from tests.support.machines import Machines, check_replica
from tests.support.queues import Queue, World, job, until

from spawn.store.aws.boot.locations import SERVICE_VARIABLE


def _chain(world: World) -> Queue:
    return world.queue(
        job("first", until("go")), job("second", "true", "first"), job("third", "true", "second")
    )


def _kill_only_runner(queue: Queue) -> None:
    """Kill the runner; its job continues."""
    os.kill(queue.runner(), signal.SIGKILL)
    queue.wait_idle()


def test_a_new_queue_waits_for_the_store_and_then_runs(machines: Machines) -> None:
    a = machines.machine()
    queue = _chain(a)
    a.release("go")
    with machines.proxy.outage():
        process = queue.start()
        queue.wait_for("QueueStarted")
        queue.until(lambda: "no job starts until it can" in queue.describe(), "it says so")
        assert queue.types("first") == []
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    check_replica(queue, machines.remote())


def test_a_new_queue_starts_without_the_store_if_offline(machines: Machines) -> None:
    a = machines.machine()
    queue = _chain(a)
    a.release("go")
    with machines.proxy.outage():
        process = queue.start("--offline")
        queue.wait_for("QueueCompleted")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    check_replica(queue, machines.remote())


@pytest.mark.parametrize(("service", "code"), [("", 1), ("1", 75)], ids=["person", "systemd"])
def test_a_takeover_without_the_store_fails_and_succeeds_later(
    machines: Machines, service: str, code: int
) -> None:
    """The unit requests exit code 75; users get the manual page's 1."""
    a, b = machines.machine("a"), machines.machine("b")
    queue = _chain(a)
    queue.detach()
    queue.wait_executing("first")
    queue.stop()
    if service:
        b.environ[SERVICE_VARIABLE] = service
    with machines.proxy.outage():
        done = b.spawn("resume", "q", "--from-s3")
        assert done.code == code, done
        assert "cannot be reached" in done.err
        assert "run the same command again" in done.err
    there = machines.queue_on(b, queue)
    assert not there.paths.events.exists(), "a unit would take the queue for started"
    b.release("go")
    done = b.spawn("resume", "q", "--from-s3")
    assert done.code == 0, done.err
    check_replica(there, machines.remote())


def test_the_next_runner_ships_a_queue_that_the_store_does_not_have(
    machines: Machines,
) -> None:
    a = machines.machine()
    queue = _chain(a)
    with machines.proxy.outage():
        queue.detach("--offline")
        queue.wait_executing("first")
        _kill_only_runner(queue)
    a.release("go")
    queue.wait_over("first")
    done = queue.resume()
    assert done.code == 0, done.err
    assert queue.executed() == [("first", 1), ("second", 1), ("third", 1)]
    assert machines.remote().keys("_spawn/queue.json")
    check_replica(queue, machines.remote())


def test_without_the_store_running_jobs_are_adopted_and_no_job_starts(
    machines: Machines,
) -> None:
    a = machines.machine()
    queue = _chain(a)
    queue.detach()
    queue.wait_executing("first")
    _kill_only_runner(queue)
    with machines.proxy.outage():
        process = a.start("resume", "q")
        queue.wait_for("QueueResumed")
        a.release("go")
        queue.wait_for("JobCompleted", "first")
        queue.until(lambda: "no job starts until it can" in queue.describe(), "it says so")
        assert queue.types("second") == []
        status = a.status("q")
        assert status["replica"]["behind"] > 0
        assert "Could not connect" in status["replica"]["trouble"]
        assert "Replica: " in a.spawn("status", "q").out
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert queue.executed() == [("first", 1), ("second", 1), ("third", 1)]
    assert "replica" not in a.status("q")
    check_replica(queue, machines.remote())


def test_a_queue_resumes_without_the_store_if_offline(machines: Machines) -> None:
    a = machines.machine()
    queue = _chain(a)
    queue.detach()
    queue.wait_executing("first")
    _kill_only_runner(queue)
    a.release("go")
    with machines.proxy.outage():
        process = a.start("resume", "q", "--offline")
        queue.wait_for("QueueCompleted")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert queue.executed() == [("first", 1), ("second", 1), ("third", 1)]
    check_replica(queue, machines.remote())
