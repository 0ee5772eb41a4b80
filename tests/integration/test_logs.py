"""`logs` prints the exact output of a job, also while it runs."""

import shutil
import signal
import sys
from pathlib import Path

from tests.support.queues import World, job, retry, until
from tests.support.wait import wait_until

_PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
"""Runs a command from a small process, as a fork's memory counts too; prints its peak in KiB."""


def test_each_stream_is_printed_to_the_same_stream(world: World) -> None:
    queue = world.queue(job("a", r"printf 'o\377ut\n'; echo err >&2"))
    assert queue.run().code == 0
    process = world.start("logs", "q", "a", text=False)
    assert process.communicate(timeout=30) == (b"o\xffut\n", b"err\n")
    assert process.returncode == 0
    assert world.spawn("logs", "q", "a", "--stderr").out == "err\n"
    assert world.spawn("logs", "local", "a", "--stderr").out == "err\n"


def test_each_attempt_has_its_own_logs(world: World) -> None:
    queue = world.queue(job("a", "echo $JOB_ATTEMPT; [ $JOB_ATTEMPT = 2 ]", retry=retry(2)))
    assert queue.run().code == 0
    assert world.spawn("logs", "q", "a").out == "2\n"
    assert world.spawn("logs", "q", "a", "--attempt", "1").out == "1\n"
    refused = world.spawn("logs", "q", "a", "--attempt", "3")
    assert (refused.code, "attempts that started: 1, 2" in refused.err) == (2, True)
    assert world.spawn("logs", "q", "a", "--attempt", "0").code == 2


def test_an_unknown_job_is_distinguished_from_one_that_has_not_run(world: World) -> None:
    queue = world.queue(job("train", "exit 1"), job("test", "true", "train"))
    assert queue.run().code == 1
    refused = world.spawn("logs", "q", "trai")
    assert (refused.code, "did you mean 'train'?" in refused.err) == (2, True)
    waiting = world.spawn("logs", "q", "test")
    assert (waiting.code, waiting.out) == (0, "")
    assert waiting.err == "Job test has not run: it is blocked\n"
    assert world.spawn("logs", "nobody", "a").code == 3


def test_copies_replace_a_deleted_attempt_folder(world: World) -> None:
    queue = world.queue(job("a", "echo hello"))
    assert queue.run().code == 0
    folder = Path(queue.attempt("a").folder)
    shutil.rmtree(folder)
    assert world.spawn("logs", "q", "a").out == "hello\n"
    shutil.rmtree(world.roots.objects / "q")
    gone = world.spawn("logs", "q", "a")
    assert (gone.code, "is gone" in gone.err) == (1, True)


def test_a_running_job_is_followed_to_its_end(world: World) -> None:
    queue = world.queue(job("a", f"echo one; {until('go')}; echo two; seq 100000"))
    queue.detach()
    out = world.folder / "followed"
    with open(out, "wb") as file:
        process = world.start("logs", "q", "a", "--follow", stdout=file)
        wait_until(lambda: out.read_bytes() == b"one\n", seconds=30)
        world.release("go")
        assert process.wait(timeout=30) == 0
    assert out.read_bytes() == queue.stdout("a")


def test_a_retry_is_followed(world: World) -> None:
    queue = world.queue(
        job("z", until("ready")),
        job("a", f"echo $JOB_ATTEMPT; {until('go')}; [ $JOB_ATTEMPT = 2 ]", "z", retry=retry(2)),
    )
    queue.detach()
    process = world.start("logs", "q", "a", "-f")
    world.release("ready")
    queue.wait_executing("a")
    world.release("go")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) in ((0, "1\n2\n"), (0, "2\n"))
    assert ("-- attempt 2 --" in err) == (out == "1\n2\n")


def test_following_ends_when_the_queue_has_no_runner(world: World) -> None:
    queue = world.queue(job("a", until("go")), job("b", "true", "a"))
    queue.detach()
    queue.wait_executing("a")
    process = world.start("logs", "q", "b", "-f")
    queue.kill_runner()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err == "Job b has not run: it is pending, and the queue's runner has stopped\n"
    world.release("go")
    assert queue.resume().code == 0


def test_ctrl_c_ends_following_and_not_the_job(world: World) -> None:
    queue = world.queue(job("a", f"echo one; {until('go')}"))
    queue.detach()
    queue.wait_executing("a")
    process = world.start("logs", "q", "a", "-f", "--attempt", "1")
    assert process.stdout.readline() == "one\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    world.release("go")
    queue.wait_for("QueueCompleted")


def test_large_output_uses_little_memory_and_may_be_cut_short(world: World) -> None:
    queue = world.queue(job("a", "head -c 200000000 /dev/zero"))
    assert queue.run().code == 0
    process = world.start("logs", "q", "a", wrapper=(sys.executable, "-c", _PEAK))
    _, peak = process.communicate(timeout=60)
    assert process.returncode == 0
    assert int(peak) < 100 * 1024
    head = world.start("logs", "q", "a", wrapper=("sh", "-c", '"$@" | head -c 5', "sh"))
    out, err = head.communicate(timeout=30)
    assert (len(out), err) == (5, "")


def test_following_does_not_wait_for_an_attempt_that_cannot_happen(world: World) -> None:
    queue = world.queue(job("a", f"echo one; {until('go')}"))
    queue.detach()
    queue.wait_executing("a")
    process = world.start("logs", "q", "a", "--attempt", "9", "--follow")
    world.release("go")
    queue.wait_for("QueueCompleted")
    for asked in (process, world.start("logs", "q", "a", "--attempt", "9", "--follow")):
        out, err = asked.communicate(timeout=30)
        assert (asked.returncode, out) == (2, "")
        assert "job a has no attempt 9" in err
        assert "attempts that started: 1" in err
