"""A machine is lost: another one shows everything about its queues from the store."""

import json
import os
import re
import shutil
from pathlib import Path
from socket import gethostname
from typing import Any

import pytest
from tests.support.machines import Machines, log_of
from tests.support.queues import Queue, World, job, retry, until
from tests.support.wait import wait_until

AGO = r"(\d+[dhms] ?)+ago"
READ = re.compile(
    rf"Read from s3://\S+/: \d+ events?, the last {AGO}"
    rf"(; its runner (was last heard from|stopped) {AGO})?\n"
)


def _flags(machines: Machines, *more: str) -> tuple[str, ...]:
    return ("--bucket", machines.bucket, *more)


def _finished(world: World, **fields: Any) -> Queue:
    """An ended queue with a retry, results and output."""
    (world.work / "notes.txt").write_text("notes\n")
    queue = world.queue(
        job("prep", "echo prepared; echo careful >&2", result_files=["notes.txt"]),
        job("train", "echo try $JOB_ATTEMPT; [ $JOB_ATTEMPT = 2 ]", "prep", retry=retry(2)),
        **fields,
    )
    assert queue.run("--bucket", world.environ["SPAWN_BUCKET"]).code == 0
    return queue


def _gone(machines: Machines, name: str = "a", **fields: Any) -> tuple[list[bytes], Any, Any]:
    """Return the log, status and history of a queue that ended on a machine that is now lost."""
    a = machines.machine(name)
    queue = _finished(a, **fields)
    log, status = log_of(queue.paths.events), a.status("q")
    history = a.spawn("history", "q").out
    machines.lose(a)
    return log, status, history


def _elsewhere(machines: Machines) -> World:
    """A machine without any setting for the store's location."""
    b = machines.machine("b")
    del b.environ["SPAWN_BUCKET"]
    _look_often(b)
    return b


def _look_often(world: World) -> None:
    """Let commands read the store every second, and give up on a queue without a runner after two
    reads."""
    world.override_constant("spawn.cli.sources.replica.ReplicaQueue.poll_seconds", 1.0)
    world.override_constant("spawn.cli.commands.wait.UNOWNED_SECONDS", 1.5)


def test_every_reading_command_works_for_a_lost_machine(machines: Machines) -> None:
    log, status, history = _gone(machines)
    b = _elsewhere(machines)
    first = b.spawn("status", "q", "--json", *_flags(machines))
    assert (first.code, READ.fullmatch(first.err) is None) == (0, False), first.err
    told = json.loads(first.out)
    for key in ("queue_id", "status", "started_at", "elapsed", "jobs", "results_location"):
        assert told[key] == status[key]
    assert told["read_from"]["location"] == f"s3://{machines.bucket}/q/"
    assert told["read_from"]["events"] == len(log)
    # from here on the location is remembered
    asked = b.spawn("status", "q")
    assert asked.out.startswith("Queue: q\nInstance: local\nStatus: completed\n")
    assert f"Results Location: s3://{machines.bucket}/q/\n" in asked.out
    assert READ.fullmatch(asked.err)
    if os.geteuid() == 0:  # another machine has another hostname
        renamed = ("unshare", "--uts", "sh", "-c", 'hostname another; exec "$@"', "sh")
        named = b.start("status", "q", wrapper=renamed).communicate(timeout=60)[0]
        assert named.startswith(f"Queue: q\nInstance: {gethostname()}\nStatus: completed\n")
    assert b.spawn("history", "q").out == history
    lines = b.spawn("history", "q", "--json").out.encode().splitlines()
    assert lines == [exported.split(b" ", 1)[1] for exported in log]
    only = b.spawn("history", "q", "--job", "train", "--json").out.splitlines()
    assert only == [line.decode() for line in lines if json.loads(line).get("job_id") == "train"]
    assert b.spawn("logs", "q", "train").out == "try 2\n"
    assert b.spawn("logs", "q", "train", "--attempt", "1").out == "try 1\n"
    prep = b.spawn("logs", "q", "prep")
    assert (prep.out, READ.sub("", prep.err)) == ("prepared\n", "careful\n")
    assert b.spawn("logs", "q", "prep", "--stderr", "--follow").out == "careful\n"
    why = b.spawn("why", "q", "train")
    assert why.out.startswith("train completed at "), why.err
    page = b.spawn("report", "q", "-o", "-")
    assert "<title>" in page.out, page.err
    assert f"s3://{machines.bucket}/q/" in page.out
    waited = b.spawn("wait", "q")
    assert (waited.code, waited.out) == (0, "completed\n")
    verified = b.spawn("verify", "q")
    assert verified.code == 0
    assert f"Head: {log[-1].split(b' ')[0].decode()}\n" in verified.out
    fetched = b.spawn("results", "q", "-o", "out")
    assert fetched.code == 0, fetched.err
    assert (b.folder / "out/prep/results/notes.txt").read_text() == "notes\n"
    watched = b.spawn("status", "q", "--watch", "--json", "--refresh", "1s")
    assert (watched.code, json.loads(watched.out)["status"]) == (0, "completed")


def test_a_second_read_takes_one_get_and_one_list(machines: Machines) -> None:
    _gone(machines)
    b = _elsewhere(machines)
    b.spawn("status", "q", *_flags(machines))
    for command in (("status", "q"), ("history", "q"), ("wait", "q"), ("status", "q", "--json")):
        before = len(machines.proxy.asked)
        assert b.spawn(*command).code == 0
        asked = [(each.method, each.key) for each in machines.proxy.asked[before:]]
        assert [method for method, _ in asked] == ["GET", "GET"], asked
        assert asked[0][1] == "q/_spawn/lease.json"


@pytest.mark.cold
def test_at_works_on_a_replica(machines: Machines) -> None:
    log, _, _ = _gone(machines)
    events = [json.loads(exported.split(b" ", 1)[1]) for exported in log]
    started = next(e for e in events if e["type"] == "JobStarted" and e["job_id"] == "train")
    b = _elsewhere(machines)
    at = ("--at", started["at"], *_flags(machines))
    then = json.loads(b.spawn("status", "q", "--json", *at).out)
    assert {each["job_id"]: each["status"] for each in then["job_details"]} == {
        "prep": "completed",
        "train": "running",
    }
    told = b.spawn("history", "q", "--json", *at).out.splitlines()
    assert [json.loads(line)["seq"] for line in told] == list(range(1, started["seq"] + 1))
    refused = b.spawn("status", "q", "--at", "2026-01-01")
    assert (refused.code, refused.out) == (3, "")
    assert "queue q was not submitted at that time" in refused.err


def test_live_and_dead_queues_of_other_machines_are_distinguished(machines: Machines) -> None:
    a = machines.machine("a")
    queue = a.queue(job("a", until("go")), job("b", "true", "a")).detach(
        "--bucket", a.environ["SPAWN_BUCKET"]
    )
    queue.wait_executing("a")
    b = _elsewhere(machines)

    def status() -> Any:
        return json.loads(b.spawn("status", "q", "--json", *_flags(machines)).out)

    wait_until(lambda: status()["jobs"]["running"] == 1, seconds=30)
    told = status()
    assert (told["status"], told["runner_alive"]) == ("running", True)
    assert told["job_details"][0]["pid"] == queue.attempt("a").pid
    text = b.spawn("status", "q")
    assert "no runner" not in text.out
    assert "; its runner was last heard from " in text.err
    # by the store's clock, which gives the lease's age
    with machines.proxy.fault("ahead", "GET", key="lease", seconds=3600):
        gone = b.spawn("status", "q")
        told = status()
    assert "Warning: the queue has no runner; `spawn queue resume q --from-s3`" in gone.out
    assert "PID" not in gone.out
    assert "its runner was last heard from 1h ago" in gone.err or "of 59m" in gone.err
    assert (told["status"], told["runner_alive"]) == ("running", False)
    assert told["job_details"][0]["log_file"] == f"s3://{machines.bucket}/q/a/attempts/1.1/"
    waiting = b.start("wait", "q")
    watching = b.start("status", "q", "--watch", "--refresh", "1s", "--json")
    a.release("go")
    queue.wait_for("QueueCompleted")
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (0, "completed\n"), err
    out, _ = watching.communicate(timeout=60)
    assert (watching.returncode, json.loads(out.splitlines()[-1])["status"]) == (0, "completed")
    queue.wait_idle()


def test_wait_reports_a_queue_without_a_runner(machines: Machines) -> None:
    machines.override_constant("spawn.runner.replication.replicator.RENEW_SECONDS", 1.0)
    a = machines.machine("a")
    queue = a.queue(job("a", until("go"))).detach("--bucket", a.environ["SPAWN_BUCKET"])
    queue.wait_executing("a")
    b = _elsewhere(machines)
    wait_until(
        lambda: machines.remote().lease["seq"] > 0 and len(machines.remote().lines()) >= 3,
        seconds=30,
    )
    machines.kill(a)
    with machines.proxy.fault("ahead", "GET", key="lease", seconds=3600):
        done = b.spawn("wait", "q", *_flags(machines))
    assert (done.code, done.out) == (1, "")
    unfinished = "Error: queue q is unfinished, but its runner has stopped: its runner was last"
    assert unfinished in done.err
    hint = "`spawn queue resume q --from-s3` resumes it, and needs `--force` unless EC2 reports"
    assert f"\nHint: {hint} that its machine is gone\n" in done.err
    a.release("go")
    assert queue.resume().code == 0


def test_hints_to_resume_work_on_the_machine_that_prints_them(
    machines: Machines,
) -> None:
    a = machines.machine("a")
    queue = a.queue(job("a", "exit 3"))
    assert queue.run().code == 1
    machines.lose(a)
    b = _elsewhere(machines)
    asked = b.spawn("why", "q", "a", *_flags(machines))
    assert "`spawn queue resume q --retry-failed --from-s3` retries a" in asked.out
    page = b.spawn("report", "q", "-o", "-")
    assert "<code>spawn queue resume q --retry-failed --from-s3</code>" in page.out
    went = b.spawn("resume", "q", "--retry-failed", "--from-s3")
    assert (went.code, "a: attempt 2 started" in went.out) == (1, True), went.err


def test_a_failed_resume_leaves_no_trace_that_hides_the_queue(machines: Machines) -> None:
    _gone(machines)
    b = _elsewhere(machines)
    b.environ["AWS_DEFAULT_REGION"] = "ap-southeast-4"  # where no other test has a bucket
    refused = b.spawn("resume", "q", "--from-s3")
    missing = "there is no bucket spawn-results-ap-southeast-4"
    assert (refused.code, missing in refused.err) == (1, True)
    found = b.spawn("status", "q", *_flags(machines))
    assert (found.code, "Status: completed" in found.out) == (0, True), found.err
    assert b.spawn("status", "q").code == 0


def test_a_gracefully_stopped_queue_is_interrupted(machines: Machines) -> None:
    a = machines.machine("a")
    queue = a.queue(job("a", until("never")), kill_grace="1s").detach(
        "--bucket", a.environ["SPAWN_BUCKET"]
    )
    queue.wait_executing("a")
    queue.stop()
    b = _elsewhere(machines)
    done = b.spawn("wait", "q", *_flags(machines))
    assert (done.code, done.out) == (1, "interrupted\n")
    assert "; its runner stopped " in done.err
    assert "Resume it with: spawn queue resume q --from-s3\n" in done.err
    assert a.spawn("cancel", "q").code == 0


def test_output_of_a_job_on_another_machine_is_read_from_its_parts(machines: Machines) -> None:
    a = machines.machine("a")
    command = f"seq 3; echo Epoch 2/8; echo hm >&2; {until('go')}; echo done"
    queue = a.queue(job("a", command)).detach("--bucket", a.environ["SPAWN_BUCKET"])
    queue.wait_executing("a")
    b = _elsewhere(machines)
    remote = machines.remote()
    wait_until(lambda: len(remote.lines()) >= 3, seconds=30)
    pieces = {
        "stdout.log/0000000000000000": b"1\n2\n",
        "stdout.log/0000000000000004": b"3\nEpoch 2/8\n",
    }
    pieces["stderr.log/0000000000000000"] = b"hm\n"
    for key, data in pieces.items():
        _put(machines, f"q/a/attempts/1.1/parts/{key}", data)
    text = b.spawn("status", "q", *_flags(machines))
    assert "    └─ Progress: Epoch 2/8 (25%)\n" in text.out
    assert "  Recent Output:\n    3\n    Epoch 2/8\n    hm\n" in text.out
    so_far = b.spawn("logs", "q", "a")
    assert so_far.out == "1\n2\n3\nEpoch 2/8\n"
    assert "This is the stdout.log and stderr.log of attempt 1 of a so far" in so_far.err
    following = b.start("logs", "q", "a", "--follow")
    assert [following.stdout.readline() for _ in range(4)] == ["1\n", "2\n", "3\n", "Epoch 2/8\n"]
    a.release("go")
    queue.wait_for("QueueCompleted")
    out, err = following.communicate(timeout=60)
    assert (following.returncode, out) == (0, "done\n"), err
    assert "hm\n" in err
    assert "not the whole" not in err
    queue.wait_idle()
    assert b.spawn("logs", "q", "a").out == "1\n2\n3\nEpoch 2/8\ndone\n"


def test_status_is_shown_without_unreadable_output(machines: Machines) -> None:
    a = machines.machine("a")
    queue = a.queue(job("a", until("go"))).detach("--bucket", a.environ["SPAWN_BUCKET"])
    queue.wait_executing("a")
    wait_until(lambda: len(machines.remote().lines()) >= 3, seconds=30)
    _put(machines, "q/a/attempts/1.1/parts/stdout.log/0000000000000000", b"one\n")
    b = _elsewhere(machines)
    with machines.proxy.fault("403", key="/parts/"):
        done = b.spawn("status", "q", *_flags(machines))
    assert (done.code, "Status: running\n" in done.out) == (0, True)
    assert "Recent Output" not in done.out
    assert "The output of running jobs cannot be read: s3://" in done.err
    a.release("go")
    queue.wait_for("QueueCompleted")
    queue.wait_idle()


def test_incomplete_output_is_reported(machines: Machines) -> None:
    a = machines.machine("a")
    queue = a.queue(job("a", f"echo one; {until('go')}")).detach(
        "--bucket", a.environ["SPAWN_BUCKET"]
    )
    queue.wait_executing("a")
    wait_until(lambda: len(machines.remote().lines()) >= 3, seconds=30)
    machines.kill(a)
    _put(machines, "q/a/attempts/1.1/parts/stdout.log/0000000000000000", b"one\n")
    _put(machines, "q/a/attempts/1.1/parts/stdout.log/0000000000000009", b"behind a gap\n")
    b = _elsewhere(machines)
    with machines.proxy.fault("ahead", "GET", key="lease", seconds=3600):
        told = b.spawn("logs", "q", "a", *_flags(machines))
        followed = b.spawn("logs", "q", "a", "--follow")
    assert told.out == followed.out == "one\n"
    for each in (told, followed):
        assert "Incomplete: stdout.log and stderr.log of attempt 1 of a; its runner" in each.err
    a.release("go")
    assert queue.resume().code == 0


def test_logs_reads_the_copies_of_deleted_attempt_folders(machines: Machines) -> None:
    a = machines.machine("a")
    queue = _finished(a)
    for number in (1, 2):
        shutil.rmtree(Path(queue.attempt("train", number).folder))
    assert a.spawn("logs", "q", "train").out == "try 2\n"
    assert a.spawn("logs", "q", "train", "--attempt", "1").out == "try 1\n"


def test_the_local_log_takes_precedence(machines: Machines) -> None:
    a = machines.machine("a")
    _finished(a)
    local = a.spawn("status", "q")
    assert (local.code, local.err) == (0, "")
    forced = a.spawn("status", "q", "--from-s3")
    assert READ.fullmatch(forced.err), forced.err
    noted = a.spawn("status", "q", "--bucket", "another")
    assert noted.err == "Read queue q from this machine; --from-s3 reads it from S3\n"
    assert noted.out.partition("Log:")[0] == local.out.partition("Log:")[0]
    assert READ.fullmatch(a.spawn("status", "local", "--from-s3").err)


def test_an_unknown_queue_exits_with_3_and_names_both_places(machines: Machines) -> None:
    _gone(machines)
    b = _elsewhere(machines)
    for command in (("status",), ("history",), ("wait",), ("verify",), ("results",)):
        done = b.spawn(*command, "nope", *_flags(machines))
        assert (done.code, done.out) == (3, ""), command
        assert done.err.startswith(
            f"Error: queue nope is neither on this machine nor at s3://{machines.bucket}/nope/: "
        )
    done = b.spawn("logs", "nope", "a", *_flags(machines))
    assert (done.code, done.out) == (3, "")
    done = b.spawn("status", "nope", *_flags(machines, "--prefix", "q"))
    assert (done.code, done.out) == (3, "")
    assert "; q is there\n" in done.err
    done = b.spawn("status", "nope", "--from-s3", *_flags(machines))
    assert done.err.startswith(f"Error: queue nope is not at s3://{machines.bucket}/nope/\n")
    done = b.spawn("status", "nope", "--region", "eu-west-1")
    assert (done.code, done.out) == (3, "")
    assert "there is no bucket spawn-results-eu-west-1" in done.err


@pytest.mark.parametrize("fault", ["down", "403"])
def test_an_unreachable_store_exits_with_1_and_a_hint(machines: Machines, fault: str) -> None:
    b = _elsewhere(machines)

    def see(*command: str) -> None:
        done = b.spawn(*command)
        assert (done.code, done.out) == (1, ""), command
        assert done.err.startswith("Error: ")
        assert "\nHint: " in done.err
        assert "Traceback" not in done.err

    def see_all() -> None:
        for command in ("status", "history", "verify", "wait", "results"):
            see(command, "q", *_flags(machines))
        see("logs", "q", "a", *_flags(machines))
        see("list", *_flags(machines))

    if fault == "down":
        with machines.proxy.outage():
            see_all()
    else:
        with machines.proxy.fault("403"):
            see_all()


def test_wait_and_watch_survive_an_outage(machines: Machines) -> None:
    a = machines.machine("a")
    queue = a.queue(job("a", until("go"))).detach("--bucket", a.environ["SPAWN_BUCKET"])
    queue.wait_executing("a")
    wait_until(lambda: len(machines.remote().lines()) >= 3, seconds=30)
    with machines.separate_proxy() as way:
        b = machines.machine("b", way)
        del b.environ["SPAWN_BUCKET"]
        _look_often(b)
        waiting = b.start("wait", "q", *_flags(machines))
        watching = b.start("status", "q", "--watch", "--json", "--refresh", "1s", *_flags(machines))
        assert json.loads(watching.stdout.readline())["status"] == "running"
        assert waiting.stderr.readline().startswith("Read from ")
        with way.outage():
            assert "cannot be reached" in waiting.stderr.readline()
            heard = ""
            while "cannot be reached" not in heard:
                line = watching.stderr.readline()
                assert line, heard
                heard += line
        assert waiting.stderr.readline().startswith("Connected again after ")
        a.release("go")
        out, err = waiting.communicate(timeout=60)
        assert (waiting.returncode, out) == (0, "completed\n"), err
        out, err = watching.communicate(timeout=60)
        assert (watching.returncode, json.loads(out.splitlines()[-1])["status"]) == (0, "completed")
        assert (heard + err).count("cannot be reached") == 1
    queue.wait_idle()


def test_concurrent_readers_do_not_interfere(machines: Machines) -> None:
    log, _, history = _gone(machines)
    b = _elsewhere(machines)
    readers = [b.start("history", "q", *_flags(machines)) for _ in range(4)]
    assert [each.communicate(timeout=60)[0] for each in readers] == [history] * 4
    (kept,) = (b.home / "cache" / "replicas").rglob("q.jsonl")
    assert kept.read_bytes().splitlines() == log


def test_a_damaged_cache_is_reported_in_one_line_and_read_again(machines: Machines) -> None:
    _, _, history = _gone(machines)
    b = _elsewhere(machines)
    b.spawn("status", "q", *_flags(machines))
    (kept,) = (b.home / "cache" / "replicas").rglob("q.jsonl")
    data = kept.read_bytes()
    kept.write_bytes(data[:2000] + b"?" + data[2001:])
    done = b.spawn("history", "q")
    assert (done.code, done.out) == (0, history)
    told = READ.sub("", done.err)
    assert re.fullmatch(
        r"The cache of queue q was damaged from event \d+ on; these events were read again\n",
        told,
    )
    assert READ.fullmatch(b.spawn("history", "q").err)
    assert kept.read_bytes() == data


def test_a_log_that_has_become_shorter_is_corrupt(machines: Machines) -> None:
    log, _, _ = _gone(machines)
    b = _elsewhere(machines)
    b.spawn("status", "q", *_flags(machines))
    remote = machines.remote()
    for key in remote.keys("_spawn/packs/"):
        _delete(machines, f"q/{key}")
    _delete(machines, "q/_spawn/lease.json")
    segments = remote.keys("_spawn/log/")
    _delete(machines, f"q/{segments[-1]}")
    first = int(Path(segments[-1]).stem)
    (kept,) = (b.home / "cache" / "replicas").rglob("q.jsonl")
    for command in ("status", "verify"):
        done = b.spawn(command, "q")
        assert (done.code, done.out) == (1, "")
        assert (
            f"Error: the log in the store ends with event {first - 1}: this machine has read "
            f"{len(log)} events there before\nHint: delete {kept}, which has them, "
        ) in done.err
    kept.unlink()
    assert b.spawn("verify", "q").code == 0, "only the cache shows the loss"


# queues that have not started


def _submitted(machines: Machines, queue_id: str = "q") -> None:
    config = {
        "queue_id": queue_id,
        "jobs": [
            {"job_id": "a", "command": "true", "working_directory": "/"},
            {"job_id": "b", "command": "true", "depends_on": ["a"], "working_directory": "/"},
        ],
    }
    _put(machines, f"{queue_id}/_spawn/queue.json", json.dumps(config).encode())


def test_a_queue_of_a_booting_instance_is_pending_and_waited_for(machines: Machines) -> None:
    a = machines.machine("a")
    _client(machines).create_bucket(Bucket=machines.bucket)
    _submitted(machines)
    b = _elsewhere(machines)
    text = b.spawn("status", "q", *_flags(machines))
    assert (text.code, text.out.startswith("Queue: q\nInstance: unknown (booting since 20")) == (
        0,
        True,
    )
    assert "Jobs: 2 total, 2 pending\n" in text.out
    assert "Warning" not in text.out
    assert re.fullmatch(rf"Read from \S+: submitted {AGO}, not started yet\n", text.err)
    told = json.loads(b.spawn("status", "q", "--json").out)
    assert (told["status"], told["read_from"]["booting"], told["runner_alive"]) == (
        "pending",
        True,
        True,
    )
    assert b.spawn("history", "q").out == ""
    assert "Job a has not run: it is waiting\n" in b.spawn("logs", "q", "a").err
    for command in (("why", "q", "a"), ("report", "q", "-o", "-")):
        told = b.spawn(*command)
        assert (told.code, told.out) == (1, "")
        assert "Error: queue q has not started: its log has no events yet\nHint: " in told.err
    waiting = b.start("wait", "q")
    assert "not started yet" in waiting.stderr.readline()
    done = a.spawn("resume", "q", "--from-s3", "--force", "--bucket", machines.bucket)
    assert done.code == 0, done.err
    out, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (0, "completed\n")


def test_the_error_of_a_failed_setup_is_shown(machines: Machines) -> None:
    _client(machines).create_bucket(Bucket=machines.bucket)
    _submitted(machines)
    log = b"".join(b"line %d\n" % n for n in range(1000)) + b"pip: \x1b[31mno network\x1b[0m\n"
    _put(machines, "q/_spawn/boot.log", log)
    b = _elsewhere(machines)
    text = b.spawn("status", "q", *_flags(machines))
    assert text.code == 0
    assert "\nBoot Log:\n    line 989\n" in text.out
    assert "\n    pip: no network\n" in text.out
    assert "Warning: the setup of its instance failed; " in text.out
    assert "; its instance failed to boot\n" in text.err
    done = b.spawn("wait", "q")
    assert (done.code, done.out) == (1, "")
    assert "its runner has stopped: its instance failed to boot\n" in done.err


# lists of a bucket's queues


def test_queues_of_a_bucket_are_listed_newest_first(machines: Machines) -> None:
    a = machines.machine("a")
    for number in range(3):
        queue = a.queue(job("a", "true"), queue_id=f"q{number}")
        assert queue.run("--bucket", a.environ["SPAWN_BUCKET"]).code == 0
    nested = a.queue(job("a", "exit 1"), queue_id="deep", result_s3_prefix="runs/deep")
    assert nested.run("--bucket", a.environ["SPAWN_BUCKET"]).code == 1
    _put(machines, "bad/_spawn/queue.json", b"{")
    _put(machines, "photos/cat.jpg", b"?")
    b = _elsewhere(machines)
    ids = ["q2", "q1", "q0"]
    quiet = b.spawn("list", "--quiet", *_flags(machines))
    assert (quiet.code, sorted(quiet.out.split()[:-1]), quiet.out.split()[-1]) == (
        0,
        sorted(ids),
        "bad",
    )
    assert quiet.err == (
        "No queue directly in photos/, runs/; --prefix PREFIX looks below a prefix\n"
    )
    told = json.loads(b.spawn("list", "--json", *_flags(machines)).out)
    assert [each["queue_id"] for each in told] == [*ids, "bad"]
    assert {each["status"] for each in told[:3]} == {"completed"}
    assert (told[3]["status"], told[3]["location"]) == (
        "unreadable",
        f"s3://{machines.bucket}/bad/",
    )
    table = b.spawn("list", *_flags(machines))
    assert table.out.count("1/1 done") == 3
    below = json.loads(b.spawn("list", "--json", *_flags(machines, "--prefix", "runs/")).out)
    assert [(each["queue_id"], each["status"]) for each in below] == [("deep", "failed")]
    own = json.loads(b.spawn("list", "--json", *_flags(machines, "--prefix", "runs/deep")).out)
    assert [each["queue_id"] for each in own] == ["deep"]
    assert json.loads(b.spawn("status", "deep", "--json").out)["status"] == "failed", "remembered"
    before = len(machines.proxy.asked)
    b.spawn("list", *_flags(machines))
    assert len(machines.proxy.asked) - before == 1 + 6 + 3 * 2
    assert b.spawn("list").out == "", "those of this machine"
    empty = b.spawn("list", *_flags(machines, "--prefix", "none"))
    assert (empty.code, empty.out) == (0, "")
    assert empty.err == f"No queues at s3://{machines.bucket}/none/\n"


def _client(machines: Machines) -> Any:
    return machines.remote()._client


def _put(machines: Machines, key: str, data: bytes) -> None:
    _client(machines).put_object(Bucket=machines.bucket, Key=key, Body=data)


def _delete(machines: Machines, key: str) -> None:
    _client(machines).delete_object(Bucket=machines.bucket, Key=key)
