"""Processes of another user, as with `sudo`, cannot be killed and must not block the queue."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest
from tests.support.processes import is_alive
from tests.support.queues import World, job, until
from tests.support.users import public_folder

BOUND = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill")
"""Runs root without CAP_KILL, so that it may signal only its own processes."""
STRANGER = "setpriv --reuid=65534 --clear-groups sh -c 'echo $$ >> {pids}; exec sleep 61'"

pytestmark = pytest.mark.tool("setpriv")


@pytest.fixture
def pids() -> Iterator[Path]:
    """File for the pids of strangers, which are killed after the test."""
    if os.geteuid() != 0 or subprocess.run([*BOUND, "true"], check=False).returncode:
        pytest.skip("only root can have strangers")
    folder = public_folder()
    file = folder / "pids"
    file.touch()
    file.chmod(0o666)
    yield file
    for pid in map(int, file.read_text().split()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    rmtree(folder)


def _end(world: World, pids: Path) -> list[int]:
    """Kill the strangers, which must still be running; returns their pids."""
    found = [int(pid) for pid in pids.read_text().split()]
    alive = [pid for pid in found if is_alive(pid)]
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    assert alive == found, "a process of another user was killed"
    return found


def test_a_command_of_another_user_times_out(world: World, pids: Path) -> None:
    stranger = STRANGER.format(pids=pids)
    queue = world.queue(
        job("a", f"exec {stranger}", timeout="500ms"), job("b", "true"), kill_grace="300ms"
    )
    process = queue.start(wrapper=BOUND)
    out, err = process.communicate(timeout=30)
    (pid,) = _end(world, pids)
    failed = queue.data("a", "JobFailed")
    assert process.returncode == 1
    assert (failed.exit_code, failed.timed_out, failed.unended) == (124, True, (pid,))
    assert failed.wall_seconds < 30
    said = f"a: process {pid} of another user could not be ended and may still run"
    assert said in err
    assert f"Warning: {said}" in out
    assert said.removeprefix("a: ") in world.spawn("history", "q").out


def test_a_queue_with_a_child_process_of_another_user_is_stopped(world: World, pids: Path) -> None:
    queue = world.queue(
        job("a", f"[ $JOB_ATTEMPT = 2 ] || {{ {STRANGER.format(pids=pids)} & {until('never')}; }}"),
        kill_grace="300ms",
    )
    process = queue.start(wrapper=BOUND)
    queue.wait_executing("a")
    queue.until(lambda: pids.read_text() != "", "its child is there")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    (pid,) = _end(world, pids)
    assert process.returncode == 143
    interrupted = queue.data("a", "JobInterrupted")
    assert (interrupted.cause, interrupted.unended) == ("stop", (pid,))
    assert queue.resume().code == 0


def test_a_job_that_leaves_a_process_of_another_user_completes_with_a_warning(
    world: World, pids: Path
) -> None:
    there = f"until [ -s {pids} ]; do sleep 0.02; done"
    queue = world.queue(
        job("a", f"{STRANGER.format(pids=pids)} & {there}"), *(job(f"j{n}", "true") for n in "123")
    )
    process = queue.start(wrapper=BOUND)
    out, _ = process.communicate(timeout=30)
    (pid,) = _end(world, pids)
    assert process.returncode == 0
    assert queue.data("a", "JobCompleted").unended == (pid,)
    assert {queue.data(name, "JobCompleted").unended for name in ("j1", "j2", "j3")} == {()}
    assert f"Warning: a: process {pid} of another user" in out


def test_a_lost_job_with_a_process_of_another_user_does_not_end_its_runner(
    world: World, pids: Path
) -> None:
    queue = world.queue(
        job("a", f"[ $JOB_ATTEMPT = 2 ] || {{ {STRANGER.format(pids=pids)} & {until('never')}; }}"),
    )
    process = queue.start(wrapper=BOUND)
    queue.wait_executing("a")
    queue.until(lambda: pids.read_text() != "", "its child is there")
    os.kill(queue.supervisor("a"), signal.SIGKILL)
    out, err = process.communicate(timeout=30)
    (pid,) = _end(world, pids)
    assert process.returncode == 0
    left = f"process {pid} of another user could not be ended and may still run"
    lost = queue.data("a", "JobInterrupted")
    assert (lost.cause, lost.unended) == ("lost", (pid,))
    assert lost.detail == f"its supervisor left no record; {left}"
    assert f"interrupted (lost): {lost.detail}; budget unspent" in out
    assert err.count(f"a: {left}") == 1
