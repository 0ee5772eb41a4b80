"""A queue has one runner, independent of the process that started it."""

import os
import signal

from tests.support.processes import is_alive
from tests.support.queues import World, job, until

from spawn.store.log import read
from spawn.store.queue_dir import lock


def test_a_second_runner_is_rejected(world: World) -> None:
    queue = world.queue(job("a", until("go")))
    queue.detach()
    queue.wait_executing("a")
    before = len(queue.events())
    for flags in ((), ("--detach",), ("--or-resume", "--detach")):
        refused = queue.run(*flags)
        assert refused.code == 1
        assert "is being run by another process" in refused.err
        assert refused.out == ""
    assert len(queue.events()) == before
    world.release("go")
    queue.wait_for("QueueCompleted")


def test_or_resume_follows_a_running_runner_to_its_end(world: World) -> None:
    queue = world.queue(job("a", until("go")))
    queue.detach()
    queue.wait_executing("a")
    following = queue.start("--or-resume")
    assert following.stdout is not None
    while "a: attempt 1 started" not in following.stdout.readline():
        assert following.poll() is None
    world.release("go")
    out, _ = following.communicate(timeout=30)
    assert following.returncode == 0
    assert "1 of 1 jobs completed" in out
    assert queue.executed() == [("a", 1)]


def test_or_resume_forwards_a_stop_to_the_runner_it_follows(world: World) -> None:
    queue = world.queue(job("a", until("never")))
    queue.detach()
    queue.wait_executing("a")
    following = queue.start("--or-resume")
    assert following.stdout is not None
    while "a: attempt 1 started" not in following.stdout.readline():
        assert following.poll() is None
    following.send_signal(signal.SIGTERM)
    following.communicate(timeout=30)
    assert following.returncode == 143
    assert queue.state.state == "interrupted"
    assert not lock.is_held(queue.paths.lock)


def test_or_resume_replaces_a_runner_that_dies(world: World) -> None:
    queue = world.queue(job("a", until("go")))
    queue.detach()
    queue.wait_executing("a")
    following = queue.start("--or-resume")
    assert following.stdout is not None
    while "a: attempt 1 started" not in following.stdout.readline():
        assert following.poll() is None
    assert queue.state.owner is not None
    os.kill(queue.state.owner.pid, signal.SIGKILL)
    queue.wait_for("QueueResumed")
    world.release("go")
    following.communicate(timeout=30)
    assert following.returncode == 0
    assert queue.executed() == [("a", 1)]


def test_a_runner_death_ends_its_command_with_a_code_for_a_restart(
    world: World,
) -> None:
    queue = world.queue(job("a", until("go")))
    process = queue.start("--or-resume")
    queue.wait_executing("a")
    assert queue.state.owner is not None
    os.kill(queue.state.owner.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 70
    assert "the runner of queue q died: signal 9" in err
    world.release("go")
    assert queue.resume().code == 0


def test_one_of_eight_concurrent_runners_runs_the_queue(world: World) -> None:
    queue = world.queue(job("a", until("go")), job("b", "true"))
    processes = [queue.start("--or-resume", "--detach") for _ in range(8)]
    queue.wait_executing("a")
    codes = []
    for process in processes:
        process.communicate(timeout=30)
        codes.append(process.returncode)
    assert sorted(codes) == [0, *[1] * 7]
    world.release("go")
    queue.wait_for("QueueCompleted")
    assert queue.executed() == [("a", 1), ("b", 1)]


def test_an_id_is_never_used_twice(world: World) -> None:
    queue = world.queue(job("a", "true"))
    assert queue.run().code == 0
    again = queue.run()
    assert again.code == 1
    assert "was run before" in again.err
    assert queue.resume().code == 0
    assert queue.executed() == [("a", 1)]


def test_a_detached_queue_prints_its_id_and_outlives_the_command(world: World) -> None:
    queue = world.queue(job("a", until("go")))
    finished = queue.run("--detach")
    assert (finished.code, finished.out) == (0, "q\n")
    queue.wait_executing("a")
    world.release("go")
    queue.wait_for("QueueCompleted")


def test_a_queue_outlives_its_killed_command_line(world: World) -> None:
    queue = world.queue(job("a", until("go")), job("b", "echo loud; seq 2000"))
    process = queue.start()
    queue.wait_executing("a")
    process.kill()
    process.wait()
    world.release("go")
    queue.wait_for("QueueCompleted")


def test_a_queue_outlives_its_terminal(world: World) -> None:
    queue = world.queue(job("a", until("go")), job("b", "true"))
    master, slave = os.openpty()
    world.environ["TERM"] = "xterm"
    process = queue.start(
        wrapper=("setsid", "--ctty"), stdin=slave, stdout=slave, stderr=slave, process_group=0
    )
    os.close(slave)
    queue.wait_executing("a")
    runner = queue.runner()
    os.close(master)  # the kernel sends SIGHUP to the terminal's session
    process.wait(timeout=20)
    os.kill(runner, signal.SIGHUP)
    world.release("go")
    queue.wait_for("QueueCompleted")
    assert queue.executed() == [("a", 1), ("b", 1)]


def test_a_queue_continues_when_its_output_pipe_is_closed(world: World) -> None:
    queue = world.queue(*(job(f"j{number}", "true") for number in range(20)))
    process = queue.start()
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    assert queue.state.state == "completed"


def test_a_stalled_reader_does_not_block_the_queue(world: World) -> None:
    queue = world.queue(job("gate", until("go")), *(job(f"j{n}", "true") for n in range(150)))
    process = queue.start()
    queue.wait_executing("gate")
    process.send_signal(signal.SIGSTOP)
    world.release("go")
    try:
        queue.wait_for("QueueCompleted")
    finally:
        process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "151 of 151 jobs completed" in out


def test_the_log_is_one_file_once_the_queue_has_ended(world: World) -> None:
    queue = world.queue(job("a", "true"))
    assert queue.run().code == 0
    copy = world.folder / "copy.db"
    copy.write_bytes(queue.paths.events.read_bytes())
    assert read.replay(copy, "q").state.state == "completed"


def test_a_stopped_runner_leaves_no_zygote(world: World) -> None:
    queue = world.queue(job("a", "sleep 60"))
    queue.detach()
    queue.wait_executing("a")
    runner = queue.runner()
    queue.stop()
    queue.until(lambda: not is_alive(runner), "the runner ends")
    queue.until(lambda: not world.processes(), "and all that it started")


def test_a_limit_of_open_files_delays_jobs_and_not_the_queue(world: World) -> None:
    queue = world.queue(*(job(f"j{n}", "sleep 0.2") for n in range(60)), max_parallel=60)
    process = queue.start(wrapper=("sh", "-c", 'ulimit -n 48; exec "$@"', "-"))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert len(queue.executed()) == 60


def test_a_queue_may_be_named_like_another_queues_log(world: World) -> None:
    assert world.queue(job("a", "true"), queue_id="first").run().code == 0
    queue = world.queue(job("a", "true"), queue_id="a.log")
    queue.detach()
    try:
        queue.wait_for("JobStarted", "a")
        queue.wait_for("QueueCompleted")
    finally:
        queue.stop()
