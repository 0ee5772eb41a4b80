"""Resuming a queue: by its id, with a retry of failed jobs, with another configuration."""

import json
import signal
from typing import Any

import pytest
from tests.support.queues import Queue, World, job, until


def _resume(queue: Queue, *flags: str) -> Any:
    return queue.world.spawn("resume", queue.queue_id, *flags)


def _configure(queue: Queue, *jobs: dict[str, Any], **fields: Any) -> str:
    """Write another configuration of the queue; returns its path."""
    for each in jobs:
        each.setdefault("working_directory", str(queue.world.work))
    file = queue.world.folder / "new.json"
    file.write_text(json.dumps({"jobs": list(jobs), **fields}))
    return str(file)


def test_an_interrupted_queue_resumes_by_its_id(world: World) -> None:
    queue = world.queue(job("a", "true"), job("b", f"[ $JOB_ATTEMPT = 2 ] || {until('go')}", "a"))
    queue.detach()
    queue.wait_executing("b")
    queue.stop()
    resumed = _resume(queue)
    assert resumed.code == 0
    assert queue.executed() == [("a", 1), ("b", 1), ("b", 2)]


def test_resume_does_not_print_earlier_events(world: World) -> None:
    queue = world.queue(
        job("a", "true"), job("b", f"[ $JOB_ATTEMPT -ge 3 ] || {until('never')}", "a")
    )
    for number in (1, 2):
        process = queue.start() if number == 1 else world.start("resume", "q")
        queue.wait_executing("b", number)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    lines = _resume(queue).out.splitlines()
    assert "queue q: resumed by" in lines[0]
    assert "epoch 3" in lines[0]
    assert [line.split()[2] for line in lines[1:3]] == ["b:", "b:"]
    assert not any("submitted" in line or " a: " in line for line in lines)


def test_resume_of_a_failed_queue_needs_retry_failed(world: World) -> None:
    queue = world.queue(job("a", "exit 3"), job("b", "true", "a"))
    assert queue.run().code == 1
    events = len(queue.events())
    refused = _resume(queue)
    assert refused.code == 1
    assert "`spawn queue resume q --retry-failed` retries a" in refused.err
    assert len(queue.events()) == events


def test_failed_jobs_are_retried_with_a_fresh_budget(world: World) -> None:
    queue = world.queue(
        job("a", "true"),
        job("b", "[ -e mended ]", "a", retry_count=1),
        job("c", "true", "b"),
        job("d", "true", "c"),
    )
    assert queue.run().code == 1
    world.release("mended")
    assert _resume(queue, "--retry-failed").code == 0
    assert queue.executed() == [("a", 1), ("b", 1), ("b", 2), ("c", 1), ("d", 1)]
    assert queue.types("c") == ["JobBlocked", "JobUnblocked", "JobStarted", "JobCompleted"]
    assert "@" in queue.data("b", "JobReset").by


def test_a_completed_queue_has_nothing_left_to_do(world: World) -> None:
    queue = world.queue(job("a", "true"))
    assert queue.run().code == 0
    for flags in ([], ["--retry-failed"]):
        refused = _resume(queue, *flags)
        assert (refused.code, "nothing is left to do" in refused.err) == (1, True)


def test_an_unknown_queue_cannot_be_resumed(world: World) -> None:
    assert world.spawn("resume", "nobody").code == 3
    assert world.spawn("cancel", "nobody").code == 3


def test_a_running_queue_gets_a_request_to_retry(world: World) -> None:
    queue = world.queue(
        job("a", "[ -e mended ]"),
        job("b", "true", "a"),
        job("c", until("go")),
        on_failure="continue",
    )
    queue.detach()
    queue.wait_executing("c")
    refused = _resume(queue)
    assert (refused.code, "is running" in refused.err) == (1, True)
    world.release("mended")
    told = _resume(queue, "--retry-failed")
    assert (told.code, told.out) == (0, "Retrying: a\n")
    refused = _resume(queue, "--retry-failed")
    assert (refused.code, "no job has failed" in refused.err) == (1, True)
    world.release("go")
    queue.wait_for("QueueCompleted")
    assert sorted(queue.executed()) == [("a", 1), ("a", 2), ("b", 1), ("c", 1)]


def test_an_edited_configuration_keeps_completed_jobs(world: World) -> None:
    queue = world.queue(job("a", "true"), job("b", "exit 3", "a"), job("c", "true", "b"))
    assert queue.run().code == 1
    edited = _configure(
        queue, job("a", "true"), job("b", "true", "a"), job("x", "true", "b"), max_parallel=2
    )
    assert _resume(queue, "--config", edited).code == 0
    assert queue.executed() == [("a", 1), ("b", 1), ("b", 2), ("x", 1)]
    (changed,) = [e.data for e in queue.events() if e.type == "QueueReconfigured"]
    assert changed.changes == (
        "max_parallel: 1 -> 2",
        "job b: command",
        "job x is new",
        "job c is gone",
    )
    assert list(queue.state.jobs) == ["a", "b", "x"]


def test_a_new_configuration_that_keeps_a_failure_is_rejected(world: World) -> None:
    queue = world.queue(job("a", "exit 3"), job("b", "true", "a"))
    assert queue.run().code == 1
    edited = _configure(queue, job("a", "exit 3"), job("b", "echo else", "a"))
    refused = _resume(queue, "--config", edited)
    assert (refused.code, "--retry-failed" in refused.err) == (1, True)


def test_a_new_configuration_waits_for_running_jobs(world: World) -> None:
    queue = world.queue(job("a", until("go")), job("b", "exit 3", "a"))
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    edited = _configure(queue, job("b", "true", "a"), job("a", until("go")), job("z", "true"))
    queue_process = world.start("resume", "q", "--config", edited)
    queue.wait_for("QueueResumed")
    assert "QueueReconfigured" not in queue.types()
    world.release("go")
    queue_process.communicate(timeout=30)
    assert queue_process.returncode == 0
    assert queue.executed() == [("a", 1), ("b", 1), ("z", 1)]


def test_jobs_that_depend_on_another_failed_job_are_blocked_by_it(world: World) -> None:
    queue = world.queue(
        job("a", "exit 3"), job("b", "exit 4"), job("c", "true", "a"), on_failure="continue"
    )
    assert queue.run().code == 1
    edited = _configure(
        queue,
        job("a", "true"),
        job("b", "exit 4"),
        job("c", "true", "a", "b"),
        job("d", "true"),
        on_failure="continue",
    )
    assert _resume(queue, "--config", edited).code == 1
    assert queue.executed() == [("a", 1), ("b", 1), ("a", 2), ("d", 1)]
    assert queue.state.jobs["c"].blocked_by == "b"


@pytest.mark.parametrize("field", ["result_s3_prefix", "result_s3_bucket"])
def test_the_results_location_cannot_change(world: World, field: str) -> None:
    queue = world.queue(job("a", "exit 3"))
    assert queue.run().code == 1
    edited = _configure(queue, job("a", "true"), **{field: "elsewhere"})
    refused = _resume(queue, "--config", edited)
    assert (refused.code, field in refused.err) == (2, True)


def test_a_configuration_with_problems_changes_nothing(world: World) -> None:
    queue = world.queue(job("a", "exit 3"))
    assert queue.run().code == 1
    edited = _configure(queue, job("a", "true", "nobody"))
    assert _resume(queue, "--config", edited).code == 2
    assert "QueueResumed" not in queue.types()


def test_a_longer_global_timeout_lets_a_timed_out_queue_resume(world: World) -> None:
    queue = world.queue(
        job("a", f"[ $JOB_ATTEMPT = 2 ] || {until('never')}"),
        job("b", "true", "a"),
        global_timeout="700ms",
        kill_grace="1s",
    )
    assert queue.run().code == 1
    assert queue.state.reason == "global_timeout"
    refused = _resume(queue)
    assert (refused.code, "--global-timeout" in refused.err) == (1, True)
    refused = _resume(queue, "--global-timeout", "500ms")
    assert (refused.code, "has already expired" in refused.err) == (2, True)
    assert _resume(queue, "--global-timeout", "nonsense").code == 2
    assert _resume(queue, "--global-timeout", "1h").code == 0
    assert queue.executed() == [("a", 1), ("a", 2), ("b", 1)]


def test_jobs_may_be_left_to_the_next_runner(world: World) -> None:
    queue = world.queue(job("a", until("go")), job("b", "true", "a"))
    queue.detach("--leave-jobs")
    queue.wait_executing("a")
    queue.stop()
    assert queue.types() == ["QueueSubmitted", "QueueStarted", "QueueInterrupted"]
    assert queue.types("a") == ["JobStarted"]
    process = world.start("resume", "q")
    queue.wait_for("QueueResumed")
    world.release("go")
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert queue.executed() == [("a", 1), ("b", 1)]


def test_a_new_kill_grace_applies_to_timeouts(world: World) -> None:
    deaf = "trap 'touch told' TERM; while :; do nap; done"
    queue = world.queue(job("a", "exit 3"), kill_grace="10m")
    assert queue.run().code == 1
    edited = _configure(queue, job("a", deaf, timeout="300ms"), kill_grace="400ms")
    assert _resume(queue, "--config", edited).code == 1
    failed = queue.job_events("a", "JobFailed")[-1].data
    assert (failed.exit_code, failed.timed_out, failed.signal) == (124, True, "SIGKILL")
    assert (world.work / "told").exists()
    assert 0.7 <= failed.wall_seconds < 30


def test_resume_makes_an_open_folder_private(world: World) -> None:
    queue = world.queue(job("a", f"[ $JOB_ATTEMPT = 2 ] || {until('go')}"))
    queue.detach()
    queue.wait_executing("a")
    assert queue.paths.folder.stat().st_mode & 0o777 == 0o700
    queue.stop()
    queue.paths.folder.chmod(0o755)
    assert _resume(queue).code == 0
    assert queue.paths.folder.stat().st_mode & 0o777 == 0o700
