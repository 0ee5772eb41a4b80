"""Timeouts of jobs and of the queue."""

from tests.support.processes import attempt_processes
from tests.support.queues import Finished, Queue, World, job, retry, until

from spawn.store.log import ownership_time

FOREVER = "while :; do nap; done"


def test_a_timeout_gives_124_and_is_retried(world: World) -> None:
    queue = world.queue(
        job("a", "[ $JOB_ATTEMPT = 2 ] || sleep 60", timeout="300ms", retry=retry(2))
    )
    assert queue.run().code == 0
    scheduled = queue.data("a", "JobRetryScheduled")
    assert (scheduled.exit_code, scheduled.timed_out) == (124, True)
    assert 0.3 <= scheduled.wall_seconds < 30


def test_an_exit_code_124_of_the_command_itself_is_not_a_timeout(world: World) -> None:
    queue = world.queue(job("a", "timeout 0.1 sleep 60", timeout="1m"))
    assert queue.run().code == 1
    failed = queue.data("a", "JobFailed")
    assert (failed.exit_code, failed.timed_out) == (124, False)


def test_a_job_that_ignores_sigterm_is_killed_after_kill_grace(world: World) -> None:
    queue = world.queue(job("a", f"trap '' TERM; {FOREVER}", timeout="2s"), kill_grace="400ms")
    finished = queue.run()
    assert finished.code == 1
    failed = queue.data("a", "JobFailed")
    assert (failed.exit_code, failed.timed_out, failed.signal) == (124, True, "SIGKILL")
    _timed_out(queue, finished)
    assert 2.4 <= failed.wall_seconds < 20


def test_a_timed_out_job_that_exits_with_0_is_not_completed(world: World) -> None:
    queue = world.queue(job("a", f"trap 'echo bye; exit 0' TERM; {FOREVER}", timeout="2s"))
    finished = queue.run()
    assert finished.code == 1
    _timed_out(queue, finished)
    failed = queue.data("a", "JobFailed")
    assert (failed.exit_code, failed.timed_out, failed.signal) == (124, True, None)
    assert queue.stdout("a") == b"bye\n"


def test_a_suspended_job_times_out(world: World) -> None:
    queue = world.queue(job("a", "kill -STOP $$; sleep 60", timeout="300ms"), kill_grace="1m")
    finished = queue.run()
    assert finished.code == 1
    failed = queue.data("a", "JobFailed")
    assert (failed.exit_code, failed.timed_out, failed.signal) == (124, True, "SIGTERM")
    _timed_out(queue, finished)
    assert failed.wall_seconds < 20


def _timed_out(queue: Queue, finished: Finished) -> None:
    """Return the log's and the command line's account of a queue whose only job timed out."""
    assert queue.types("a") == ["JobStarted", "JobFailed"]
    assert queue.types() == ["QueueSubmitted", "QueueStarted", "QueueFailed"]
    assert "a: attempt 1 failed (timeout) after" in finished.out
    assert "✗ a: exit 124 (timeout), no attempts left (1 of 1)" in finished.out
    assert finished.err == ""


def test_the_whole_process_tree_ends_before_a_timeout_is_logged(world: World) -> None:
    queue = world.queue(
        job(
            "a",
            "sleep 61 & setsid sleep 62 & (setsid bash -c 'trap \"\" TERM HUP; sleep 63' &)"
            " & nohup setsid sh -c 'sleep 64 & sleep 65' & wait",
            timeout="400ms",
        ),
        kill_grace="300ms",
    )
    queue.detach()
    queue.wait_for("JobFailed", "a")
    assert attempt_processes(queue.attempt("a")) == []
    assert queue.data("a", "JobFailed").timed_out


def test_children_get_their_grace_though_their_shell_has_ended(world: World) -> None:
    save = "trap 'sleep 0.3; echo saved; exit 0' TERM; touch up; while :; do nap; done"
    queue = world.queue(job("a", f'bash -c "{save}"; echo after', timeout="3s"), kill_grace="20s")
    assert queue.run().code == 1
    assert (world.work / "up").exists()
    assert queue.stdout("a") == b"saved\n"


def test_every_level_of_the_process_tree_gets_sigterm(world: World) -> None:
    (world.work / "level").write_text(
        'if [ "$1" -gt 0 ]; then bash level $(($1 - 1)); exit; fi\n'
        f"nap() {{ read -rt 0.1 _ <>{world.folder}/nap; }}\n"
        "trap 'echo saved; exit 0' TERM; echo up; while :; do nap; done\n"
    )
    queue = world.queue(
        *(job(f"j{number}", "bash level 6", timeout="4s") for number in range(4)),
        on_failure="continue",
        max_parallel=4,
        kill_grace="3s",
    )
    assert queue.run().code == 1
    assert {queue.stdout(name) for name in queue.state.jobs} == {b"up\nsaved\n"}


def test_a_timeout_at_the_start_is_not_missed(world: World) -> None:
    queue = world.queue(
        *(job(f"j{number}", "sleep 60", timeout="1ms") for number in range(12)),
        on_failure="continue",
        kill_grace="20s",
        max_parallel=4,
    )
    assert queue.run().code == 1
    ended_by = {queue.data(name, "JobFailed").signal for name in queue.state.jobs}
    assert ended_by == {"SIGTERM"}, "a process that missed the signal is killed after its grace"


def test_a_job_timeout_may_be_weeks(world: World) -> None:
    queue = world.queue(job("a", "sleep 0.1", timeout="1000d"))
    assert queue.run().code == 0


def test_a_queue_timeout_may_be_weeks(world: World) -> None:
    queue = world.queue(job("a", "sleep 0.1"), global_timeout="1000d")
    assert queue.run().code == 0


def test_a_retry_delay_may_be_weeks(world: World) -> None:
    policy = {"max_attempts": 2, "backoff": "fixed", "delay": "30d", "max_delay": "30d"}
    queue = world.queue(job("a", "exit 1", retry=policy), job("b", "true"))
    queue.detach()
    queue.wait_for("JobCompleted", "b")
    queue.stop()
    assert queue.types("a") == ["JobStarted", "JobRetryScheduled"]
    assert queue.state.state == "interrupted"


def test_a_queue_that_times_out_stops_its_jobs_and_fails(world: World) -> None:
    queue = world.queue(
        job("a", "true"),
        job("b", "sleep 60"),
        job("c", "true"),
        global_timeout="600ms",
    )
    finished = queue.run()
    assert finished.code == 1
    assert queue.types("b") == ["JobStarted", "JobInterrupted"]
    assert queue.data("b", "JobInterrupted").cause == "stop"
    assert queue.types("c") == []
    assert (queue.state.state, queue.state.reason) == ("failed", "global_timeout")


def test_a_queue_that_times_out_does_not_wait_for_retries(world: World) -> None:
    queue = world.queue(job("a", "exit 1", retry=retry(2, "1m")), global_timeout="500ms")
    assert queue.run().code == 1
    assert queue.state.reason == "global_timeout"


def test_the_time_of_a_killed_runner_counts(world: World) -> None:
    queue = world.queue(job("a", until("go")), job("b", "true", "a"), global_timeout="15m")
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    left = ownership_time.load_owned_time(queue.paths.folder, 1)
    assert left is not None, "it recorded how long it owned the queue"
    ownership_time.save_owned_time(
        queue.paths.folder, ownership_time.OwnershipTime(1, 1000.0)
    )  # as if it had run for that long
    finished = queue.resume()
    assert finished.code == 1
    assert queue.data("a", "JobInterrupted").cause == "stop"
    assert (queue.state.state, queue.state.reason) == ("failed", "global_timeout")
    assert 1000 <= queue.state.owned_seconds < 1100
    assert "the queue's global_timeout expired" in finished.out
