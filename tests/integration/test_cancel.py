"""`cancel` ends a queue for good, with or without a runner."""

import os
import signal

from tests.support.processes import attempt_processes
from tests.support.queues import World, job, until


def test_a_running_queue_is_cancelled_with_its_running_jobs(world: World) -> None:
    queue = world.queue(
        job("a", f"trap 'exit 0' TERM; {until('never')}"),
        job("b", f"sleep 60 & {until('never')}"),
        job("c", "true", "a"),
        max_parallel=2,
        kill_grace="1s",
    )
    queue.detach()
    started = [queue.wait_executing(name) for name in "ab"]
    cancelled = world.spawn("cancel", "q")
    assert (cancelled.code, cancelled.out) == (0, "Queue q is cancelled\n")
    assert [queue.data(name, "JobFailed").why for name in "ab"] == ["cancelled", "cancelled"]
    assert queue.types("c") == ["JobBlocked"]
    assert (queue.state.state, queue.state.reason) == ("failed", "cancelled")
    assert [attempt_processes(each) for each in started] == [[], []]
    assert "Status: failed (cancelled by " in world.spawn("status", "q").out
    assert list(queue.paths.requests.glob("*.json")) == []


def test_a_queue_without_a_runner_is_cancelled_with_its_remaining_jobs(world: World) -> None:
    queue = world.queue(job("a", until("never")), job("b", "true", "a"), kill_grace="1s")
    queue.detach()
    started = queue.wait_executing("a")
    queue.kill_runner()
    assert world.spawn("cancel", "q").code == 0
    assert queue.data("a", "JobFailed").why == "cancelled"
    assert attempt_processes(started) == []
    assert queue.state.reason == "cancelled"


def test_an_interrupted_queue_is_cancelled(world: World) -> None:
    queue = world.queue(job("a", until("never")), kill_grace="1s")
    queue.detach()
    queue.wait_executing("a")
    queue.stop()
    assert world.spawn("cancel", "q").code == 0
    assert queue.state.reason == "cancelled"


def test_an_ended_queue_cannot_be_cancelled(world: World) -> None:
    queue = world.queue(job("a", "true"))
    assert queue.run().code == 0
    refused = world.spawn("cancel", "q")
    assert (refused.code, "has already completed" in refused.err) == (1, True)
    assert queue.types()[-1] == "QueueCompleted"


def test_a_cancelled_queue_resumes_only_with_retry_failed(world: World) -> None:
    queue = world.queue(
        job("a", f"[ $JOB_ATTEMPT = 2 ] || {until('never')}"),
        job("b", "true", "a"),
        kill_grace="1s",
    )
    queue.detach()
    queue.wait_executing("a")
    assert world.spawn("cancel", "q").code == 0
    assert world.spawn("resume", "q").code == 1
    assert world.spawn("resume", "q", "--retry-failed").code == 0
    assert queue.executed() == [("a", 1), ("a", 2), ("b", 1)]


def test_an_invalid_request_file_is_rejected_and_removed(world: World) -> None:
    queue = world.queue(job("a", until("go")))
    queue.detach()
    queue.wait_executing("a")
    bad = queue.paths.requests / "bad.json"
    bad.write_text("{")
    wake = os.open(queue.paths.requests / "wake", os.O_WRONLY | os.O_NONBLOCK)
    os.write(wake, b"\0")
    os.close(wake)
    assert queue.wait_for("RequestRefused").data.request == "bad"
    queue.until(lambda: not bad.exists(), "the file is removed")
    world.release("go")
    queue.wait_for("QueueCompleted")


def test_a_cancel_takes_effect_though_its_command_is_killed(
    world: World,
) -> None:
    queue = world.queue(job("a", f"trap 'touch told' TERM; {until('go')}; exit 1"))
    queue.detach()
    queue.wait_executing("a")
    process = world.start("cancel", "q")
    queue.until((world.work / "told").exists, "the runner has the request")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    world.release("go")
    queue.wait_for("QueueFailed")
    assert queue.state.reason == "cancelled"


def test_a_request_is_found_without_a_wake_up(world: World) -> None:
    world.override_constant("spawn.runner.poller.POLL_SECONDS", 0.2)
    queue = world.queue(job("a", until("never")), kill_grace="1s")
    queue.detach()
    queue.wait_executing("a")
    (queue.paths.requests / "wake").unlink()
    assert world.spawn("cancel", "q").code == 0
    assert queue.state.reason == "cancelled"
