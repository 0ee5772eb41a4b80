"""A disk fills up while jobs run, and is freed again."""

import contextlib
import errno
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import warm
from tests.support.processes import attempt_processes
from tests.support.queues import Queue, World, job, until, world_in
from tests.support.wait import elapsed, wait_until

from spawn.runner.loop import queue_loop


class Disk:
    """A small file system that can be filled to the last byte."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, *, but: int = 0) -> None:
        """Fill the disk.

        Args:
            but: Bytes to leave free.
        """
        with self._filler.open("ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while file.write(b"\0" * size):
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
            file.truncate(file.tell() - but)

    def free(self) -> None:
        """Free the space."""
        self._filler.unlink()

    @contextlib.contextmanager
    def without_inodes(self) -> Iterator[None]:
        """Use up the inodes during the block."""
        left = self.folder / "left"
        left.mkdir()
        try:
            with contextlib.suppress(OSError):
                for number in itertools.count():
                    (left / str(number)).touch()
            yield
        finally:
            shutil.rmtree(left)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 4 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = _call("mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=400", "tmpfs", str(folder))
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        wait_until(lambda: _call("umount", str(folder)).returncode == 0, what="it is free again")


@pytest.fixture
def world(tmp_path: Path, disk: Disk) -> Iterator[World]:
    """A home on the small disk; jobs work on another disk."""
    (tmp_path / "world").mkdir()
    with world_in(tmp_path / "world", disk.folder / "home") as world:
        yield world


class RunCommand:
    """A command line that runs a queue, and its stderr so far."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._said = queue.world.folder / "said"
        with self._said.open("w") as said:
            self._process = queue.start(stderr=said)

    def wait_for(self, text: str) -> None:
        """Wait until stderr has a text."""
        self._queue.until(lambda: text in self._said.read_text(), f"it says '{text}'")

    def lines(self) -> list[str]:
        """Return all lines so far."""
        return self._said.read_text().splitlines()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to stop gracefully; a second signal stops at once."""
        self._process.send_signal(number)

    def code(self) -> int:
        """Wait for the end; returns the exit code."""
        self._process.communicate(timeout=60)
        return int(self._process.returncode)


def test_an_outcome_on_a_full_disk_is_not_lost_and_the_queue_continues(
    world: World, disk: Disk
) -> None:
    queue = world.queue(
        job("a", until("go")),
        job("b", f"{until('go')}; exit 3"),
        job("c", "true", "a"),
        job("d", "true", "b"),
        max_parallel=2,
        on_failure="continue",
    )
    told = RunCommand(queue)
    queue.wait_executing("a")
    queue.wait_executing("b")
    disk.fill()
    world.release("go")
    told.wait_for("cannot be written")
    queue.wait_over("a")
    queue.wait_over("b")
    ends = set(queue.types("a") + queue.types("b"))
    disk.free()
    assert ends == {"JobStarted"}
    assert told.code() == 1
    assert sorted(queue.executed()) == [("a", 1), ("b", 1), ("c", 1)]
    assert queue.data("b", "JobFailed").exit_code == 3
    assert queue.types("d") == ["JobBlocked"]


def test_a_queue_with_a_full_disk_can_be_stopped(world: World, disk: Disk) -> None:
    queue = world.queue(job("a", until("go")), job("b", "true"))
    told = RunCommand(queue)
    queue.wait_executing("a")
    disk.fill()
    world.release("go")
    told.wait_for("cannot be written")
    told.stop()
    disk.free()
    assert told.code() == 143
    assert queue.types("a") == ["JobStarted", "JobCompleted"]
    assert queue.resume().code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_a_queue_whose_disk_stays_full(
    world: World, disk: Disk, number: signal.Signals
) -> None:
    world.override_constant("spawn.runner.loop.queue_loop.UNLOGGED_STOP_SECONDS", 0.5)
    queue = world.queue(job("a", f"[ $JOB_ATTEMPT = 2 ] || {until('never')}"))
    told = RunCommand(queue)
    queue.wait_executing("a")
    disk.fill()
    told.stop(number)
    assert told.code() == 128 + number
    assert "stopped anyway" in "\n".join(told.lines())
    assert queue.types() == ["QueueSubmitted", "QueueStarted"]
    disk.free()
    assert queue.resume().code == 0
    assert queue.data("a", "JobInterrupted").cause == "stop"


def _kinds(world: World) -> list[str]:
    return [trouble["kind"] for trouble in world.status("q")["troubles"]]


def test_every_reader_reports_the_full_disk_while_it_lasts(world: World, disk: Disk) -> None:
    world.override_constant("spawn.runner.loop.queue_loop.RETRY_SECONDS", 0.2)
    queue = world.queue(job("a", until("go")), job("b", until("end")))
    told = RunCommand(queue)
    queue.wait_executing("a")
    assert world.status("q")["troubles"] == []
    heard = world.folder / "heard"
    with heard.open("w") as err:
        waiting = world.start("wait", "q", stderr=err)
    disk.fill()
    world.release("go")
    told.wait_for("cannot be written")
    queue.until(lambda: "log" in _kinds(world), "status knows")
    trouble = next(each for each in world.status("q")["troubles"] if each["kind"] == "log")
    assert trouble.keys() == {"kind", "since", "what", "why", "hint"}
    line = f"{trouble['what']}: {trouble['why']}"
    assert "full" in line
    shown = world.spawn("status", "q").out
    head, _, rest = shown.partition("Jobs: ")
    assert f"{line}; {trouble['hint']}" in head
    assert "Waiting: its turn" not in rest
    why = world.spawn("why", "q", "b").out
    assert line in why
    assert "nothing needs to be done" not in why
    assert "starts next" not in why
    assert f"(trouble: {trouble['what']})" in world.spawn("list").out
    world.spawn("report", "q")
    assert line in (world.folder / "q-report.html").read_text()
    queue.until(lambda: line in heard.read_text(), "wait says so")
    disk.free()
    queue.wait_executing("b")
    queue.until(lambda: not _kinds(world), "the trouble has passed")
    world.release("end")
    assert waiting.wait(60) == 0
    assert told.code() == 0


def test_a_disk_without_free_inodes_is_reported(world: World, disk: Disk) -> None:
    world.override_constant("spawn.runner.poller.POLL_SECONDS", 0.1)
    world.override_constant("spawn.runner.loop.queue_loop.RETRY_SECONDS", 0.2)
    queue = world.queue(job("a", until("go")), job("b", "true"), job("c", "true"))
    told = RunCommand(queue)  # b may be prepared while a runs, if that is early enough
    queue.wait_executing("a")
    with disk.without_inodes():
        queue.until(lambda: "disk" in _kinds(world), "status knows of the disk")
        world.release("go")
        queue.until(lambda: "start" in _kinds(world), "status knows of the job")
        found = {each["kind"]: each for each in world.status("q")["troubles"]}
        assert found["disk"]["why"] == "no inode is left"
        assert "inodes" in found["start"]["hint"]
        jobs = queue.state.jobs
        blocked = "b" if jobs["b"].state == "pending" else "c"
        assert f"job {blocked} cannot start now" in world.spawn("why", "q", blocked).out
    assert told.code() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_signals_stop_a_queue_with_a_full_disk_at_once(
    world: World, disk: Disk, number: signal.Signals
) -> None:
    deaf = f"trap 'touch told' TERM; {until('never')}"
    queue = world.queue(
        job("a", f"[ $JOB_ATTEMPT = 2 ] || {{ {deaf}; }}"), job("b", "true", "a"), kill_grace="10m"
    )
    told = RunCommand(queue)
    started = queue.wait_executing("a")
    disk.fill()
    told.stop(number)
    queue.until((world.work / "told").exists, "the job was told")
    told.stop(number)
    assert told.code() == 128 + number
    said = "\n".join(told.lines())
    assert "cannot be written" in said
    assert "stopped anyway" in said
    assert "spawn queue resume q" in said
    assert attempt_processes(started) == []
    assert queue.types() == ["QueueSubmitted", "QueueStarted"]
    assert queue.types("a") == ["JobStarted"]
    disk.free()
    assert queue.resume().code == 0
    assert queue.data("a", "JobInterrupted").cause == "stop"
    assert queue.executed() == [("a", 1), ("a", 2), ("b", 1)]
    assert queue.state.jobs["a"].attempts == 1


def test_cancel_on_a_full_disk_gives_an_alternative(world: World, disk: Disk) -> None:
    queue = world.queue(job("a", until("go")))
    queue.detach()
    queue.wait_executing("a")
    disk.fill()
    refused = world.spawn("cancel", "q")
    left = [file.name for file in queue.paths.requests.iterdir()]
    disk.free()
    assert refused.code == 1
    assert "cannot cancel queue q" in refused.err
    assert "No space left on device" in refused.err
    assert f"free some space on its disk, or stop the queue with `kill {queue.runner()}`" in (
        refused.err
    )
    assert left == ["wake"]
    world.release("go")
    queue.wait_for("QueueCompleted")


def test_a_full_disk_drops_and_counts_output_without_blocking_the_job(
    world: World, disk: Disk
) -> None:
    queue = world.queue(job("a", f"echo begins; {until('go')}; head -c 3000000 /dev/zero"))
    queue.detach()
    queue.wait_executing("a")
    queue.until(lambda: queue.stdout("a") == b"begins\n", "it has begun")
    disk.fill()
    world.release("go")
    queue.wait_over("a")
    disk.free()
    queue.wait_for("QueueCompleted")
    dropped = queue.data("a", "JobCompleted").output_dropped_bytes
    assert dropped > 2_000_000
    assert dropped + len(queue.stdout("a")) == 3_000_007


def test_no_job_starts_on_a_full_disk_and_all_start_later(world: World, disk: Disk) -> None:
    queue = world.queue(job("a", "true"))
    world.home.mkdir(parents=True)
    disk.fill()
    refused = queue.run()
    assert refused.code == 1
    assert "Traceback" not in refused.err
    assert queue.executed() == []
    disk.free()
    assert queue.resume().code == 0


def test_waiting_for_space_is_reported_once_and_leaves_no_file(world: World, disk: Disk) -> None:
    pause = queue_loop.RETRY_SECONDS if warm.cold else 0.4
    world.override_constant("spawn.runner.loop.queue_loop.RETRY_SECONDS", pause)
    queue = world.queue(job("a", until("go")), job("b", "true"))
    told = RunCommand(queue)
    queue.wait_executing("a")
    disk.fill()
    world.release("go")
    told.wait_for("cannot be written")
    queue.until(elapsed(2.5 * pause), "it has tried again twice")
    said = told.lines()
    disk.free()
    assert told.code() == 0
    assert len(said) == len(set(said))
    assert len(list((queue.paths.jobs / "b").iterdir())) == 1


def test_results_wait_for_space(world: World, disk: Disk) -> None:
    # The log has space for its lines, the copy of the result has none.
    queue = world.queue(
        job("a", f"{until('go')}; head -c 3000000 /dev/zero > x", result_files=["x"])
    )
    told = RunCommand(queue)
    queue.wait_executing("a")
    disk.fill(but=1_000_000)
    world.release("go")
    queue.wait_for("JobCompleted", "a")
    told.wait_for("a: its files are not saved yet")
    disk.free()
    assert told.code() == 0


def _call(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)
