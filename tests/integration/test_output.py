"""A job's output, stored byte for byte, and with the time of each line."""

import hashlib
import json
import re
from pathlib import Path

from tests.support.queues import World, job, retry, until

STAMP = rb"\[[0-2]\d:[0-5]\d:[0-5]\d\] "


def test_raw_output_is_exact(world: World) -> None:
    queue = world.queue(job("a", r"printf 'a\377\n\n\000b\r'; printf 'oops\xfe' >&2"))
    assert queue.run().code == 0
    folder = world.roots.queue("q").jobs / "a"
    (attempt,) = folder.iterdir()
    assert (attempt / "stdout.log").read_bytes() == b"a\xff\n\n\0b\r"
    assert (attempt / "stderr.log").read_bytes() == b"oops\xfe"


def test_each_line_of_the_combined_log_has_its_time(world: World) -> None:
    queue = world.queue(
        job(
            "a",
            rf"printf 'one\n\ntwo \377\npart'; {until('go')}; echo err >&2;"
            f"{until('on')}; printf ' end'",
        )
    )
    queue.detach()
    queue.wait_executing("a")
    queue.until(lambda: queue.combined("a").endswith(b"part"), "an open line")
    world.release("go")
    queue.until(lambda: queue.combined("a").endswith(b"err\n"), "a line of the other stream")
    world.release("on")
    queue.wait_for("QueueCompleted")
    log = queue.combined("a")
    assert log.endswith(b"\n")
    lines = log.splitlines()
    assert all(re.match(STAMP, line) for line in lines)
    assert [line[11:] for line in lines] == [b"one", b"", b"two \xff", b"part", b"err", b" end"]


def test_fifty_megabytes_of_output_are_exact(world: World) -> None:
    queue = world.queue(
        job("a", "head -c 50000000 /dev/urandom | tee copy; echo end >&2"), job("b", "true")
    )
    assert queue.run().code == 0
    copy = (world.work / "copy").read_bytes()
    assert len(copy) == 50_000_000
    assert hashlib.sha256(queue.stdout("a")).digest() == hashlib.sha256(copy).digest()
    assert queue.data("a", "JobCompleted").output_dropped_bytes == 0
    # The line on stderr may split an open line of stdout, which then continues after it.
    assert queue.combined("a").count(b"\n") - copy.count(b"\n") in (1, 2, 3)


def test_output_can_be_read_while_the_job_runs(world: World) -> None:
    queue = world.queue(job("a", f"printf 'no newline yet'; {until('go')}"))
    queue.detach()
    queue.wait_executing("a")
    queue.until(lambda: queue.stdout("a") == b"no newline yet", "the output is there")
    queue.until(lambda: b"no newline yet" in queue.combined("a"), "and in the combined log")
    world.release("go")
    queue.wait_for("QueueCompleted")


def test_closing_output_or_opening_it_by_name_loses_nothing(world: World) -> None:
    queue = world.queue(
        job("closed", "echo before; exec >&- 2>&-; sleep 0.1"),
        job("named", "echo one; echo two > /dev/stdout; echo three > /proc/self/fd/1"),
    )
    assert queue.run().code == 0
    assert queue.stdout("closed") == b"before\n"
    assert queue.stdout("named") == b"one\ntwo\nthree\n"


def test_the_short_path_leads_to_the_newest_queue(world: World) -> None:
    short = world.roots.log / "a.log"
    for queue_id in ("first", "second"):
        queue = world.queue(job("a", f"echo {queue_id}"), queue_id=queue_id)
        assert queue.run().code == 0
        assert short.samefile(queue.paths.job_log("a"))
    assert b"second" in short.read_bytes()
    assert b"first" in world.roots.queue("first").job_log("a").read_bytes()


def test_a_file_at_the_short_path_is_not_replaced(world: World) -> None:
    world.roots.log.mkdir(parents=True)
    (world.roots.log / "a.log").write_text("mine")
    queue = world.queue(job("a", "echo hello"))
    assert queue.run().code == 0
    assert (world.roots.log / "a.log").read_text() == "mine"
    assert b"hello" in queue.combined("a")


def test_a_job_that_never_starts_keeps_an_older_queues_short_path(world: World) -> None:
    older = world.queue(job("a", "true"), job("b", "echo older", "a"), queue_id="older")
    assert older.run().code == 0
    newer = world.queue(job("a", f"{until('go')}; exit 3"), job("b", "echo newer", "a"))
    newer.detach()
    newer.wait_executing("a")
    folder = newer.paths.jobs / "b"
    newer.until(lambda: any(folder.glob("*/lock")), "b is foreseen")
    world.release("go")
    newer.wait_for("QueueFailed")
    newer.wait_idle()
    short = world.roots.log / "b.log"
    assert short.samefile(older.paths.job_log("b"))
    assert b"older" in short.read_bytes()
    assert not newer.paths.job_log("b").exists()


def test_without_a_log_folder_progress_and_failures_come_from_the_raw_output(
    world: World,
) -> None:
    world.home.mkdir()
    world.roots.log.write_text("not a folder")
    queue = world.queue(
        job("a", "echo out 1; echo bad >&2; exit 3", retry=retry(2)),
        job("b", f"echo Epoch 25/100; {until('go')}"),
        max_parallel=2,
        on_failure="continue",
    )
    process = queue.start()
    queue.wait_executing("b")
    queue.wait_for("JobFailed", "a")
    queue.until(lambda: queue.stdout("b") != b"", "it has said how far it is")
    told = world.spawn("status", "q").out
    report = json.loads(world.spawn("status", "q", "--json").out)
    (found,) = [each for each in report["job_details"] if each["job_id"] == "b"]
    world.release("go")
    out, _ = process.communicate(timeout=30)
    assert queue.data("a", "JobRetryScheduled").last_lines == ("out 1", "bad")
    assert queue.data("a", "JobFailed").last_lines == ("out 1", "bad")
    assert "Progress: Epoch 25/100 (25%)" in told
    folder = Path(queue.attempt("b").folder)
    assert f"Log: {folder / 'stdout.log'}" in told
    assert found["log_file"] == str(folder / "stdout.log")
    log = queue.paths.job_log("b")
    assert f"Warning: b: there is no log {log}; the output is in {folder}" in told
    assert f"Log: {queue.paths.job_log('a')}" not in out
    assert "bad" in out
