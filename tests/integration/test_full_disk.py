"""A disk that fills up while jobs run, and is freed again."""

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.queues import World, job, until, world_in


class Disk:
    """A small file system that can be filled to the last byte."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave no room."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while file.write(b"\0" * size):
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Make room again."""
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 4 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def world(tmp_path: Path, disk: Disk) -> Iterator[World]:
    """A home on the small disk; its jobs work elsewhere."""
    (tmp_path / "world").mkdir()
    with world_in(tmp_path / "world", disk.folder / "home") as world:
        yield world


CRASHES = pytest.mark.xfail(strict=True, reason="runner.log is full too: saying so ends the runner")


@CRASHES
def test_what_ends_on_a_full_disk_is_not_lost_and_the_queue_goes_on(
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
    process = queue.start()
    queue.wait_executing("a")
    queue.wait_executing("b")
    disk.fill()
    world.let("go")
    warned = process.stderr.readline()
    assert "cannot be written" in warned
    queue.wait_over("a")
    queue.wait_over("b")
    ends = set(queue.types("a") + queue.types("b"))
    disk.free()
    assert ends == {"JobStarted"}
    queue.wait_for("QueueFailed")
    assert process.wait(timeout=30) == 1
    assert sorted(queue.executed()) == [("a", 1), ("b", 1), ("c", 1)]
    assert queue.data("b", "JobFailed").exit_code == 3
    assert queue.types("d") == ["JobBlocked"]


@CRASHES
def test_a_queue_can_be_stopped_while_its_disk_is_full(world: World, disk: Disk) -> None:
    queue = world.queue(job("a", until("go")), job("b", "true"))
    process = queue.start()
    queue.wait_executing("a")
    disk.fill()
    world.let("go")
    assert "cannot be written" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    disk.free()
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert queue.types("a") == ["JobStarted", "JobCompleted"]
    assert queue.resume().code == 0


def test_a_full_disk_drops_output_counts_it_and_does_not_hold_up_the_job(
    world: World, disk: Disk
) -> None:
    queue = world.queue(
        job("a", f"echo begins; {until('go')}; head -c 3000000 /dev/zero; {until('on')}")
    )
    queue.detach()
    queue.wait_executing("a")
    disk.fill()
    world.let("go")
    queue.until(lambda: len(queue.stdout("a")) >= 7, "it has begun")
    world.let("on")
    queue.wait_over("a")
    disk.free()
    queue.wait_for("QueueCompleted")
    dropped = queue.data("a", "JobCompleted").output_dropped_bytes
    assert dropped > 2_000_000
    assert dropped + len(queue.stdout("a")) == 3_000_007


def test_nothing_begins_on_a_full_disk_and_all_does_later(world: World, disk: Disk) -> None:
    queue = world.queue(job("a", "true"))
    world.home.mkdir(parents=True)
    disk.fill()
    refused = queue.run()
    assert refused.code == 1
    assert "Traceback" not in refused.err
    assert queue.executed() == []
    disk.free()
    assert queue.resume().code == 0


@CRASHES
def test_results_wait_for_room_too(world: World, disk: Disk) -> None:
    queue = world.queue(
        job("a", f"{until('go')}; echo 1 > x", result_files=["x"]), job("b", "true", "a")
    )
    process = queue.start()
    queue.wait_executing("a")
    disk.fill()
    world.let("go")
    assert "cannot be written" in process.stderr.readline()
    disk.free()
    assert process.wait(timeout=30) == 0
    assert queue.data("a", "ResultsUploaded").files == 1
