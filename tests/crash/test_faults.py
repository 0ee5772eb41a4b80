"""Other faults, with the events, exit codes and messages that they cause."""

import os
import shutil
import signal
import sqlite3
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from tests.crash import campaign
from tests.support.processes import attempt_processes
from tests.support.queues import Queue, World, job, retry, until

from spawn.core.values.timestamps import parse_timestamp
from spawn.store.log import replica_progress

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def test_a_command_killed_by_pid_has_failed_and_is_retried(world: World) -> None:
    queue = world.queue(job("a", f"[ $JOB_ATTEMPT = 2 ] || {until('never')}", retry=retry(2)))
    process = queue.start()
    os.kill(queue.wait_executing("a").pid, signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    failed = queue.data("a", "JobRetryScheduled")
    assert (failed.exit_code, failed.signal, failed.timed_out) == (143, "SIGTERM", False)
    assert queue.types("a") == ["JobStarted", "JobRetryScheduled", "JobStarted", "JobCompleted"]
    assert queue.types() == ["QueueSubmitted", "QueueStarted", "QueueCompleted"]
    assert queue.state.jobs["a"].attempts == 2
    said = "attempt 1 failed (exit 143, SIGTERM) after"
    assert f"a: {said}" in out
    assert said in world.spawn("history", "q").out


def test_a_command_killed_with_all_its_children_has_failed(world: World) -> None:
    queue = world.queue(job("a", "sleep 61 & sleep 62 & touch up; wait"))
    process = queue.start()
    started = queue.wait_executing("a")
    queue.until((world.work / "up").exists, "its children are there")
    queue.until(lambda: len(attempt_processes(started)) == 3, "`touch` is gone")
    os.killpg(started.pid, signal.SIGKILL)  # all at once: otherwise bash might end by itself
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "✗ a: exit 137 (SIGKILL), no attempts left (1 of 1)" in out
    assert queue.data("a", "JobFailed").signal == "SIGKILL"


def test_a_job_that_kills_its_process_group_kills_nothing_else(world: World) -> None:
    queue = world.queue(job("a", "trap 'kill -9 0' EXIT; true"), job("b", "true"))
    finished = queue.run()
    assert finished.code == 1
    failed = queue.data("a", "JobFailed")
    assert (failed.exit_code, failed.signal, failed.why) == (
        137,
        "SIGKILL",
        "no attempts left (1 of 1)",
    )
    assert "✗ a: exit 137 (SIGKILL), no attempts left (1 of 1)" in finished.out
    assert finished.err == ""
    assert queue.types("a") == ["JobStarted", "JobFailed"]
    assert queue.types("b") == []
    assert queue.types() == ["QueueSubmitted", "QueueStarted", "QueueFailed"]


def test_a_job_that_runs_out_of_memory_fails_with_its_own_message(world: World) -> None:
    hungry = "ulimit -v 200000; python3 -S -c 'x = bytearray(10**9)'"
    queue = world.queue(job("a", hungry), job("b", "true", "a"))
    finished = queue.run()
    assert finished.code == 1
    failed = queue.data("a", "JobFailed")
    assert failed.exit_code == 1
    assert any("MemoryError" in line for line in failed.last_lines)
    assert "MemoryError" in finished.out
    assert queue.types("b") == ["JobBlocked"]


def test_after_a_reboot_running_jobs_are_lost_and_run_again(world: World) -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("only root can give a process another boot id")
    queue = world.queue(
        job("a", "true"), job("b", "[ $JOB_ATTEMPT = 2 ] || echo done", "a"), job("c", "true", "b")
    )
    runner = campaign.start(queue, SPAWN_FAILPOINT=f"runner.ended:2:{world.folder / 'counter'}")
    assert campaign.kill_after(runner, 30) is False, (
        "it died when b had ended and was not yet in the log"
    )
    queue.wait_over("b")
    other = world.folder / "boot_id"
    other.write_text("11111111-2222-3333-4444-555555555555\n")
    restarted = ("unshare", "-m", "sh", "-c", f'mount --bind {other} {BOOT_ID} && exec "$@"', "sh")
    process = world.start("resume", "q", wrapper=restarted)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, out + err
    lost = queue.data("b", "JobInterrupted")
    assert (lost.cause, lost.detail) == ("lost", "the machine was restarted while it ran")
    assert "interrupted (lost): the machine was restarted while it ran; budget unspent" in out
    assert queue.executed() == [("a", 1), ("b", 1), ("b", 2), ("c", 1)]
    assert queue.state.jobs["b"].attempts == 1


def test_resume_restores_a_log_truncated_within_its_last_page(
    world: World,
) -> None:
    queue = world.queue(*(job(f"j{number}", "true") for number in range(40)), job("z", "exit 1"))
    assert queue.run().code == 1
    log = queue.paths.events
    whole, events = log.read_bytes(), queue.events()
    log.write_bytes(whole[: len(whole) - 2000])
    for command in (["status"], ["verify"], ["history"], ["cancel"], ["run"]):
        refused = queue.run() if command == ["run"] else world.spawn(*command, "q")
        assert refused.code == 1, command
        assert str(log) in refused.err, command
        assert "`spawn queue resume q` restores it from its copy" in refused.err, command
        assert "Traceback" not in refused.err
    assert log.stat().st_size == len(whole) - 2000
    done = world.spawn("resume", "q")
    assert done.code == 1, "the queue has failed and no retry is requested"
    assert "--retry-failed" in done.err
    assert queue.events() == events
    kept = log.with_name("events.db.damaged-1")
    assert kept.read_bytes() == whole[: len(whole) - 2000]


def _shorten(queue: Queue) -> int:
    """Kill a queue's runner and flip a bit in its log's WAL; returns the number of lost events."""
    queue.kill_runner()
    wal = queue.paths.events.with_name("events.db-wal")
    before = len(queue.events())
    data = bytearray(wal.read_bytes())
    data[len(data) * 2 // 3] ^= 1
    wal.write_bytes(data)
    after = len(queue.events())
    assert 0 < after < before
    return before - after


def test_a_queue_with_a_shortened_log_resumes_from_its_copy(world: World) -> None:
    """The running job is adopted, and no completed job runs again."""
    queue = world.queue(*(job(f"j{number}", "true") for number in range(8)), job("z", until("go")))
    queue.detach()
    queue.wait_executing("z")
    queue.until(lambda: _copied(queue) == queue.events()[-1].seq, "the copy is up to date")
    events = queue.events()
    lost = _shorten(queue)
    told = world.spawn("verify", "q")
    assert told.code == 1
    assert f"the log has lost events {len(events) - lost + 1} to {len(events)}" in told.err
    assert world.status()["lost_events"] == lost
    world.release("go")
    done = world.spawn("resume", "q")
    assert done.code == 0, done.err
    assert f"{len(events)} events were restored from" in done.err
    assert queue.events()[: len(events)] == events
    assert [each for each, _ in queue.executed()] == [*(f"j{number}" for number in range(8)), "z"]
    shutil.copy(queue.paths.events, world.folder / "kept")
    queue.paths.events.unlink()
    told = world.spawn("verify", "q")
    assert told.code == 1
    assert "is gone" in told.err
    assert "q" in world.spawn("list").out
    assert world.spawn("resume", "q").code == 1, "the queue has completed"
    assert queue.paths.events.read_bytes()[:16] == b"SQLite format 3\0"
    assert world.spawn("verify", "q").code == 0


def test_events_in_neither_log_nor_copy_are_given_up_only_by_force(world: World) -> None:
    world.override_constant(
        "spawn.runner.replication.replicator.SEGMENT_SECONDS", 1000.0
    )  # the copy stays behind
    queue = world.queue(*(job(f"j{number}", "true") for number in range(4)), job("z", until("go")))
    queue.detach()
    queue.wait_executing("z")
    copied = _copied(queue)
    assert copied < queue.events()[-1].seq - 4
    _shorten(queue)
    size = queue.paths.events.with_name("events.db-wal").stat().st_size
    for again in range(2):
        refused = world.spawn("resume", "q")
        assert refused.code == 1, again
        assert "it cannot be restored from its copy: the log has lost" in refused.err
        assert "`spawn queue resume q --from-s3 --force` continues from the copy" in refused.err
    assert queue.paths.events.with_name("events.db-wal").stat().st_size == size, "not written to"
    world.release("go")
    done = world.spawn("resume", "q", "--from-s3", "--force")
    assert done.code == 0, done.err
    assert f"{queue.paths.folder}.damaged-1" in done.err
    assert world.spawn("verify", "q").out.count("damaged in epoch 1") == 1
    ran = [each for each, _ in queue.executed()]
    assert set(ran) == {"j0", "j1", "j2", "j3", "z"}
    world.queues.clear()  # jobs ran again, as announced


def _copied(queue: Queue) -> int:
    noted = replica_progress.load_progress(queue.paths.folder)
    return 0 if noted is None else noted.seq


def test_a_wal_truncated_anywhere_loses_only_the_newest_events(world: World) -> None:
    queue = world.queue(*(job(f"j{number}", "true") for number in range(8)), job("z", until("go")))
    queue.detach()
    queue.wait_executing("z")
    queue.kill_runner()
    wal = queue.paths.events.with_name("events.db-wal")
    whole = wal.read_bytes()
    events = len(queue.events())
    copy = world.folder / "cut"
    copy.mkdir()
    for size in (len(whole) - 1, len(whole) - 5000, len(whole) // 2, 100):
        (copy / "events.db").write_bytes(queue.paths.events.read_bytes())
        (copy / "events.db-wal").write_bytes(whole[:size])
        with sqlite3.connect(copy / "events.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            seen = connection.execute("SELECT name FROM sqlite_master").fetchall()
            if seen:
                (head,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
                assert head < events
        connection.close()
        (copy / "events.db-wal").unlink(missing_ok=True)
    world.release("go")
    assert queue.resume().code == 0


_TIME_PASSES = {
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # otherwise threads that wait for the GIL spin
    "NO_FAKE_STAT": "1",  # otherwise files that seem newer are recompiled
}


@pytest.mark.tool("faketime")
@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=1)])
def test_a_clock_jump_does_not_change_any_wait(world: World, jump: timedelta) -> None:
    library = next(Path("/usr/lib").rglob("libfaketime.so.1"))
    offset = world.folder / "offset"
    offset.write_text("+0s\n")
    world.environ |= {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        **_TIME_PASSES,
    }
    queue = world.queue(
        job("a", "[ $JOB_ATTEMPT = 2 ] || exit 3", retry=retry(2, "1500ms")),
        job("b", f"{until('go')}; true", "a", timeout="20s"),
        global_timeout="1h",
    )
    queue.detach()
    scheduled = queue.wait_for("JobRetryScheduled", "a")
    offset.write_text(f"{jump.total_seconds():+.0f}s\n")
    queue.wait_executing("b")
    world.release("go")
    queue.wait_for("QueueCompleted")
    again = queue.job_events("a", "JobStarted")[1]
    apart = parse_timestamp(again.at) - parse_timestamp(scheduled.at) - jump
    assert timedelta(seconds=1) < apart < timedelta(minutes=10)
    assert queue.executed() == [("a", 1), ("a", 2), ("b", 1)]
    assert queue.outcome("b").wall_seconds < 20
    assert queue.state.owned_seconds < 600  # the jump does not count against its global_timeout
    assert world.spawn("status", "q").code == 0


@pytest.mark.tool("faketime")
def test_a_retry_scheduled_before_the_clock_was_set_back_waits_at_most_its_delay(
    world: World,
) -> None:
    library = next(Path("/usr/lib").rglob("libfaketime.so.1"))
    queue = world.queue(job("a", "[ $JOB_ATTEMPT = 2 ] || exit 3", retry=retry(2, "1s")))
    queue.detach()
    queue.wait_for("JobRetryScheduled", "a")
    queue.kill_runner()
    world.environ |= {"LD_PRELOAD": str(library), "FAKETIME": "-1h"}
    world.environ |= _TIME_PASSES
    assert queue.resume().code == 0
    resumed = queue.wait_for("QueueResumed")
    again = queue.job_events("a", "JobStarted")[1]
    assert parse_timestamp(again.at) - parse_timestamp(resumed.at) < timedelta(minutes=10)
