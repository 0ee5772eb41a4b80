"""Uploads of results and output to a store that fails in every way."""

import json
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from botocore.config import Config
from tests.support.constants import VARIABLE
from tests.support.machines import Machines, check_replica
from tests.support.proxy import WRITES, Fault, Rule
from tests.support.queues import Queue, World, job, until
from tests.support.s3 import CREDENTIALS

from spawn.store.aws.bucket import ensure_bucket
from spawn.store.objects import aws
from spawn.store.objects.location import StoreLocation
from spawn.store.objects.s3 import PART_BYTES, S3Store

POINTS = ("publisher.logs", "publisher.file", "publisher.uploaded", "runner.published")


def _left(world: World) -> Queue:
    """A job with small results and a large one, and a job that needs them."""
    return world.queue(
        job(
            "make",
            "mkdir -p out/deep; for n in $(seq 20); do echo $n > out/deep/$n; done;"
            " head -c 20000000 /dev/urandom > out/large; sha256sum < out/large > sum",
            result_files=["out"],
        ),
        job("use", 'test "$(sha256sum < out/large)" = "$(cat sum)"', "make"),
    )


def _whole(machines: Machines, world: World, attempt: str = "1.1") -> None:
    """Check that the store has every unchanged file, and a manifest that lists them."""
    remote = machines.remote()
    prefix = f"make/attempts/{attempt}/"
    listed = json.loads(remote.read(f"{prefix}manifest.json"))["files"]
    assert len(listed) == 21
    for file in listed:
        body = remote.read(f"{prefix}results/{file['name']}")
        assert body == Path(file["path"]).read_bytes()
        assert len(body) == file["size"]


@pytest.mark.parametrize("fault", ["500", "503", "reset", "lose", "late"])
def test_no_partial_upload_counts_as_complete(machines: Machines, fault: Fault) -> None:
    machines.override_constant("spawn.runner.transfers.publisher.FIRST_PAUSE", 0.1)
    a = machines.machine()
    queue = _left(a)
    machines.proxy.seed(7)
    with machines.proxy.fault(fault, *WRITES, key="/attempts/", share=0.25, seconds=0.3):
        done = queue.run()
    assert done.code == 0, done.err
    assert queue.types("make") == ["JobStarted", "JobCompleted", "ResultsUploaded"]
    _whole(machines, a)
    assert machines.remote().uploads() == [], "no multipart upload is left open"


def test_a_reader_of_the_store_sees_the_runners_troubles(
    machines: Machines,
) -> None:
    machines.override_constant("spawn.runner.replication.replicator.RENEW_SECONDS", 0.2)
    machines.override_constant("spawn.runner.transfers.publisher.FIRST_PAUSE", 0.1)
    machines.override_constant("spawn.runner.transfers.publisher.LONGEST_PAUSE", 0.5)
    a, b = machines.machine("a"), machines.machine("b")
    queue = a.queue(job("make", "echo 1 > x", result_files=["x"]), job("use", "cat x", "make"))
    with machines.proxy.fault("503", *WRITES, key="/attempts/"):
        process = queue.start()
        queue.wait_for("JobCompleted", "make")
        queue.until(lambda: bool(b.status("q")["troubles"]), "the lease has the trouble")
        there, (here,) = b.status("q")["troubles"], a.status("q")["troubles"]
        assert [(each["kind"], each["what"]) for each in there] == [(here["kind"], here["what"])]
        assert here["what"] == "the files of make are not saved yet"
        assert here["what"] in b.spawn("status", "q").out
        assert here["what"] in b.spawn("list", "--bucket", machines.bucket).out
        assert here["what"] in b.spawn("why", "q", "use").out
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert b.status("q")["troubles"] == []


@pytest.mark.cold
def test_dependents_wait_for_results_at_most_upload_wait(machines: Machines) -> None:
    a = machines.machine()
    queue = a.queue(
        job("make", "echo 1 > x", result_files=["x"]),
        job("use", "cat x", "make"),
        upload_wait="1s",
    )
    with machines.proxy.fault("503", *WRITES, key="/attempts/"):
        process = queue.start()
        queue.wait_for("JobCompleted", "use")
        assert queue.types("make") == ["JobStarted", "JobCompleted", "ResultsDelayed"]
        status = a.spawn("status", "q").out
        assert "make: results not saved yet, dependents no longer wait" in status
        assert queue.state.state == "running"
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert queue.types("make")[-1] == "ResultsUploaded"
    assert queue.state.state == "completed"
    check_replica(queue, machines.remote())


def test_a_denied_upload_is_retried_once_more_at_the_end_and_by_resume(
    machines: Machines,
) -> None:
    a = machines.machine()
    queue = a.queue(job("make", "echo 1 > x", result_files=["x"]), job("use", "cat x", "make"))
    with machines.proxy.fault("403", *WRITES, key="/results/"):
        done = queue.run()
        tries = [each for each in machines.proxy.asked if "/results/" in each.key and each.fault]
    assert done.code == 1
    assert len(tries) == 4, "three times in a row, and once more at the queue's end"
    assert queue.types("make") == ["JobStarted", "JobCompleted", "ResultsUploadFailed"]
    assert "AccessDenied" in queue.data("make", "ResultsUploadFailed").error
    assert queue.state.reason == "results"
    assert "results of make not saved" in done.out
    again = a.spawn("resume", "q")
    assert again.code == 0, again.err
    assert queue.types("make")[-1] == "ResultsUploaded"
    assert queue.executed() == [("make", 1), ("use", 1)]
    check_replica(queue, machines.remote())


@pytest.mark.parametrize("fault", ["401", "403", "404", "412"])
def test_a_denial_that_ends_before_the_queue_does_loses_nothing(
    machines: Machines, fault: Fault
) -> None:
    machines.override_constant("spawn.runner.transfers.publisher.LONGEST_PAUSE", 0.5)
    a = machines.machine()
    queue = a.queue(
        job("make", "echo 1 > x; echo hi", result_files=["x"]), job("apart", until("go"))
    )
    with machines.proxy.fault(fault, *WRITES, key="/attempts/1.1/") as refused:
        process = queue.start()
        if fault == "412":  # contradicts a read, so it is retried without a limit
            queue.until(lambda: refused.hits >= 6, "it is tried")
        else:
            queue.wait_for("ResultsUploadFailed", "make")
            assert "make: its files are not saved yet" in queue.describe(), "before it gives up"
    a.release("go")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert queue.types("make")[-1] in ("ResultsUploaded", "OutputSaved")
    assert machines.remote().read("make/attempts/1.1/results/x") == b"1\n"
    assert machines.remote().read("make/attempts/1.1/stdout.log") == b"hi\n"
    check_replica(queue, machines.remote())


@pytest.mark.parametrize("point", POINTS)
def test_a_runner_death_between_completion_and_upload_loses_nothing(
    machines: Machines, point: str
) -> None:
    a = machines.machine()
    queue = _left(a)
    count = 5 if point == "publisher.file" else 1
    a.environ["SPAWN_FAILPOINT"] = f"{point}:{count}:{a.folder / 'counter'}"
    queue.start().communicate(timeout=60)
    del a.environ["SPAWN_FAILPOINT"]
    assert queue.types("make")[:2] == ["JobStarted", "JobCompleted"]
    sent = {each.key for each in machines.proxy.puts("/results/")}
    done = queue.resume()
    assert done.code == 0, done.err
    assert queue.types("make") == ["JobStarted", "JobCompleted", "ResultsUploaded"]
    assert queue.executed() == [("make", 1), ("use", 1)]
    _whole(machines, a)
    again = [each.key for each in machines.proxy.puts("/results/") if "/large" not in each.key]
    assert len(again) == len(set(again)), "no file is uploaded twice"
    assert bool(sent) == (point != "publisher.logs")
    assert machines.remote().uploads() == []


def test_the_output_of_a_running_job_is_uploaded_in_parts(machines: Machines) -> None:
    machines.override_constant("spawn.runner.transfers.publisher.OUTPUT_UPLOAD_SECONDS", 1.0)
    a = machines.machine()
    queue = a.queue(job("talk", f"echo one; echo oops >&2; {until('go')}; echo two"))
    queue.detach()
    queue.wait_executing("talk")
    parts = "talk/attempts/1.1/parts/"
    there = "both streams are there"
    queue.until(lambda: len(machines.remote().keys(parts)) == 2, there, seconds=90)
    assert machines.remote().read(f"{parts}stdout.log/{0:016d}") == b"one\n"
    assert machines.remote().read(f"{parts}stderr.log/{0:016d}") == b"oops\n"
    os.kill(queue.runner(), signal.SIGKILL)
    queue.wait_idle()
    a.release("go")
    assert queue.resume().code == 0
    assert machines.remote().read("talk/attempts/1.1/stdout.log") == b"one\ntwo\n"


def test_the_logs_of_every_attempt_are_uploaded_after_an_outage(machines: Machines) -> None:
    a = machines.machine()
    queue = a.queue(
        job(
            "flaky",
            "echo try $JOB_ATTEMPT; [ $JOB_ATTEMPT = 3 ]",
            retry={"max_attempts": 3, "backoff": "fixed", "base_delay": "50ms"},
        )
    )
    with machines.proxy.fault("503", *WRITES, key="/attempts/"):
        process = queue.start()
        queue.wait_for("JobCompleted", "flaky")
        os.kill(queue.runner(), signal.SIGKILL)
        process.communicate(timeout=30)
    assert queue.resume().code == 0
    for number in (1, 2, 3):
        prefix = f"flaky/attempts/1.{number}/"
        assert machines.remote().read(f"{prefix}stdout.log") == f"try {number}\n".encode()
        metadata = json.loads(machines.remote().read(f"{prefix}metadata.json"))
        assert metadata["attempt"] == number
        assert metadata["status"] == ("completed" if number == 3 else "retrying")


def test_a_download_without_all_results_fails(machines: Machines) -> None:
    a = machines.machine()
    queue = a.queue(job("make", "echo 1 > x", result_files=["x"]))
    with machines.proxy.fault("403", *WRITES, key="/results/"):
        assert queue.run().code == 1
    got = a.spawn("results", "q", "-o", str(a.folder / "got"))
    assert got.code == 1
    assert "make/results: they are not saved: " in got.err
    assert "Hint: `spawn queue why q make` explains the unsaved results" in got.err
    assert (a.folder / "got/make/exit_code").read_text() == "0\n"


def test_a_denied_output_upload_is_reported_and_does_not_fail_the_queue(
    machines: Machines,
) -> None:
    a = machines.machine()
    queue = a.queue(job("make", "echo 1 > x; echo hi", result_files=["x"]), job("b", "true"))
    with machines.proxy.fault("403", *WRITES, key=r"std(out|err)\.log"):
        done = queue.run()
    assert done.code == 0, done.err
    assert "make: its output is not saved: " in done.err
    assert "output of attempt 1 not saved" in a.spawn("history", "q").out
    assert "Warning: make: output not saved: " in a.spawn("status", "q").out
    assert "Its output is not saved: " in a.spawn("why", "q", "make").out
    assert queue.types("make")[2:] in (
        ["ResultsUploaded", "OutputNotSaved"],
        ["OutputNotSaved", "ResultsUploaded"],
    )
    assert machines.remote().read("make/attempts/1.1/results/x") == b"1\n"
    assert machines.remote().read("make/attempts/1.1/exit_code") == b"0\n"


def test_the_next_runner_uploads_output_that_was_denied(machines: Machines) -> None:
    a = machines.machine()
    queue = a.queue(job("make", "echo hi"), job("bad", "test -e mended"), on_failure="continue")
    with machines.proxy.fault("403", *WRITES, key=r"std(out|err)\.log"):
        assert queue.run().code == 1
    assert "make: output not saved: " in a.spawn("status", "q").out
    a.release("mended")
    done = a.spawn("resume", "q", "--retry-failed")
    assert done.code == 0, done.err
    assert queue.types("make")[-1] == "OutputSaved"
    assert machines.remote().read("make/attempts/1.1/stdout.log") == b"hi\n"
    assert "not saved" not in a.spawn("status", "q").out


def test_a_cancel_does_not_wait_for_an_unreachable_store(machines: Machines) -> None:
    machines.override_constant("spawn.runner.shutdown.stopping.UPLOAD_SECONDS", 1.0)
    machines.override_constant("spawn.runner.transfers.publisher.LONGEST_PAUSE", 1.0)
    a = machines.machine()
    queue = a.queue(job("make", "echo 1 > x", result_files=["x"]), job("long", until("never")))
    with machines.proxy.fault("503", *WRITES, key="/attempts/"):
        process = queue.start()
        queue.wait_for("JobCompleted", "make")
        queue.wait_executing("long")
        asked = a.start("cancel", "q")
        queue.wait_for("QueueFailed", seconds=40)
    assert queue.state.reason == "cancelled"
    for each in (process, asked):
        each.communicate(timeout=60)


def test_a_second_ctrl_c_stops_at_once(machines: Machines) -> None:
    """After the first one, the runner waits an hour for the store, by a changed constant."""
    a = machines.machine()
    a.override_constant("spawn.runner.shutdown.stopping.UPLOAD_SECONDS", 3600.0)
    queue = a.queue(job("make", "echo 1 > x", result_files=["x"]), job("long", until("go")))
    with machines.proxy.fault("503", *WRITES, key="/attempts/") as refused:
        process = queue.start()
        queue.wait_for("JobCompleted", "make")
        queue.wait_executing("long")
        process.send_signal(signal.SIGINT)
        queue.wait_for("JobInterrupted", "long")
        tries = refused.hits
        queue.until(lambda: refused.hits > tries, "the runner waits for the store")
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
    del a.environ[VARIABLE]
    a.release("go")
    assert queue.resume().code == 0
    assert queue.types("make")[-1] == "ResultsUploaded"


def test_completing_a_multipart_upload_may_exceed_the_read_timeout(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": machines.proxy.endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws, "CONFIG", aws.CONFIG.merge(Config(read_timeout=2)))
    file = tmp_path / "large"
    file.write_bytes(bytes(2 * PART_BYTES))
    ensure_bucket(
        StoreLocation(bucket=machines.bucket, prefix="q", region="us-east-1"), print, chosen=True
    )
    store = S3Store(bucket=machines.bucket, prefix="q")
    with ExitStack() as faults:
        slow: list[Rule] = []

        def begin() -> None:  # all parts are uploaded
            slow.append(faults.enter_context(machines.proxy.fault("late", "POST", seconds=3)))

        size, _ = store.put_file("large", file, accept=begin)
    assert slow[0].hits == 1
    assert size == 2 * PART_BYTES
    assert store.read("large").data == file.read_bytes()
