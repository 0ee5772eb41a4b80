"""`wait`: a script learns how a queue ended."""

import signal

from tests.support.queues import World, job, until


def test_wait_waits_for_completion(world: World) -> None:
    queue = world.queue(job("a", until("go")))
    queue.detach()
    queue.wait_executing("a")
    process = world.start("wait", "q")
    world.release("go")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "completed\n")
    assert "Queue q completed: 1 of 1 jobs completed" in err


def test_failed_cancelled_and_interrupted_queues_exit_with_1(world: World) -> None:
    failed = world.queue(job("a", "exit 3"), queue_id="failed")
    failed.run()
    done = world.spawn("wait", "failed")
    assert (done.code, done.out) == (1, "failed\n")
    assert "a: exit 3" in done.err
    stopped = world.queue(job("a", until("never")), queue_id="stopped", kill_grace="1s")
    stopped.detach()
    stopped.wait_executing("a")
    process = world.start("wait", "stopped")
    stopped.stop()
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "interrupted\n")
    assert world.spawn("cancel", "stopped").code == 0
    done = world.spawn("wait", "stopped")
    assert (done.code, done.out, "cancelled" in done.err) == (1, "failed\n", True)


def test_wait_gives_up_on_a_queue_without_a_runner(world: World) -> None:
    world.override_constant("spawn.cli.commands.wait.UNOWNED_SECONDS", 1.0)
    queue = world.queue(job("a", until("go")))
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    done = world.spawn("wait", "q")
    assert (done.code, done.out) == (1, "")
    assert "`spawn queue resume q` resumes it" in done.err
    world.release("go")
    assert queue.resume().code == 0


def test_an_unknown_queue_exits_with_3(world: World) -> None:
    assert world.spawn("wait", "nobody").code == 3


def test_interrupting_wait_does_not_affect_the_queue(world: World) -> None:
    queue = world.queue(job("a", until("go")))
    queue.detach()
    queue.wait_executing("a")
    process = world.start("wait", "q")
    queue.until(lambda: process.poll() is None, "it waits")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGINT)
    world.release("go")
    queue.wait_for("QueueCompleted")
