"""The guardian restarts a runner that has died, and nothing else changes."""

import os
import shutil
import signal

import pytest
from tests.support import constants
from tests.support.processes import is_alive, parent
from tests.support.queues import Queue, World, job, until
from tests.support.wait import wait_until

from spawn.core.domain.events import QueueResumed
from spawn.runner.guardian import RESTARTS


@pytest.fixture
def guarded(world: World) -> World:
    """A machine on which a runner is restarted at most twice in a row."""
    world.environ[RESTARTS] = "2"
    return world


def _kill(queue: Queue) -> int:
    """Kill the queue's runner; returns its guardian."""
    runner = queue.runner()
    guardian = parent(runner)
    os.kill(runner, signal.SIGKILL)
    return guardian


def _resumed(queue: Queue, times: int) -> QueueResumed:
    """Wait for the given number of resumptions; returns the data of the last one."""

    def found() -> list[QueueResumed]:
        return [event.data for event in queue.events() if isinstance(event.data, QueueResumed)]

    queue.until(lambda: len(found()) == times, f"{times} times resumed")
    return found()[-1]


@pytest.mark.parametrize("detached", [False, True])
def test_a_killed_runner_is_restarted_and_its_job_runs_once(guarded: World, detached: bool) -> None:
    queue = guarded.queue(job("a", until("go")), job("b", "true", "a"))
    process = None if detached else queue.start()
    if detached:
        queue.detach()
    queue.wait_executing("a")
    guardian = _kill(queue)
    assert _resumed(queue, 1).died == "signal SIGKILL"
    guarded.release("go")
    queue.wait_for("QueueCompleted")
    queue.until(lambda: not is_alive(guardian), "the guardian's end")
    assert queue.executed() == [("a", 1), ("b", 1)]
    if process is not None:
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "Warning: the runner died (signal SIGKILL) and was restarted" in err
        assert "completed: 2 of 2 jobs" in out
    told = guarded.spawn("history", "q").out
    assert "epoch 2" in told
    assert "the previous runner died (signal SIGKILL)" in told


@pytest.mark.cold
def test_the_guardian_gives_up_on_a_runner_that_keeps_dying_and_its_job_continues(
    guarded: World,
) -> None:
    queue = guarded.queue(job("a", until("go")))
    process = queue.start()
    queue.wait_executing("a")
    for times in (1, 2):
        _kill(queue)
        _resumed(queue, times)
    _kill(queue)
    _, err = process.communicate(timeout=30)
    assert "signal SIGKILL" in err
    assert "its jobs keep running" in err
    guarded.release("go")
    assert queue.resume().code == 0
    assert queue.executed() == [("a", 1)]


def test_an_internal_error_is_reported_and_the_runner_restarted_before_giving_up(
    guarded: World,
) -> None:
    guarded.environ[RESTARTS] = "1"
    guarded.override_constant(
        "spawn.runner.session.session.LAST_LINES", "many"
    )  # fails when a job fails
    queue = guarded.queue(job("a", "exit 3"))
    done = queue.run()
    assert done.code == 1
    assert done.err.count("internal error in the runner: TypeError") == 2
    assert "exit code 70" in done.err
    assert _resumed(queue, 1).died == "exit code 70"
    del guarded.environ[constants.VARIABLE]
    assert queue.resume().code == 1
    assert queue.executed() == [("a", 1)]


def test_a_runner_that_was_asked_to_stop_is_not_restarted(guarded: World) -> None:
    queue = guarded.queue(
        job("a", "trap 'touch told' TERM; until [ -e go ]; do nap; done"), kill_grace="60s"
    )
    queue.detach()
    queue.wait_executing("a")
    runner = queue.runner()
    guardian = parent(runner)
    os.kill(runner, signal.SIGTERM)
    queue.until((guarded.work / "told").exists, "the signal")
    os.kill(runner, signal.SIGKILL)
    queue.until(lambda: not is_alive(guardian), "the guardian's end")
    guarded.release("go")
    assert not [event for event in queue.events() if event.type == "QueueResumed"]
    assert queue.resume().code == 0


def test_a_signal_to_guardian_and_runner_counts_once(guarded: World) -> None:
    saves = "trap 'touch told; until [ -e go ]; do nap; done; touch saved; exit 0' TERM"
    queue = guarded.queue(job("a", f"{saves}; until [ -e go ]; do nap; done"), kill_grace="60s")
    queue.detach()
    queue.wait_executing("a")
    os.killpg(os.getpgid(queue.runner()), signal.SIGTERM)
    queue.until((guarded.work / "told").exists, "the signal")
    guarded.release("go")
    queue.wait_for("QueueInterrupted")
    assert (guarded.work / "saved").exists(), "a second signal would have ended it at once"
    assert queue.resume().code == 0


def test_a_stop_during_the_guardians_pause_ends_the_queue_gracefully(
    guarded: World,
) -> None:
    queue = guarded.queue(job("a", until("go")))
    queue.detach()
    queue.wait_executing("a")
    _kill(queue)
    _resumed(queue, 1)
    guardian = _kill(queue)  # the guardian pauses for two seconds
    os.kill(guardian, signal.SIGTERM)
    queue.wait_for("QueueInterrupted")
    queue.until(lambda: not is_alive(guardian), "the guardian's end")
    guarded.release("go")
    assert queue.resume().code == 0


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_runner_whose_log_is_gone_ends_its_jobs_and_is_not_restarted(
    guarded: World, how: str
) -> None:
    guarded.override_constant("spawn.runner.poller.POLL_SECONDS", 0.5)
    queue = guarded.queue(job("a", until("go")), job("b", "true", "a"))
    process = queue.start()
    started = queue.wait_executing("a")
    guardian = parent(queue.runner())
    folder = queue.paths.folder
    if how == "removed":
        gone = folder.rename(guarded.folder / "gone")  # at once: the runner writes into it
        shutil.rmtree(gone, ignore_errors=True)
    else:
        copy = folder / "copy"
        shutil.copy(queue.paths.events, copy)
        before = copy.read_bytes()
        copy.replace(queue.paths.events)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"{queue.paths.events} was {how}" in err
    assert "jobs are being stopped" in err
    wait_until(lambda: not is_alive(started.pid) and not is_alive(guardian))
    if how == "removed":
        assert not folder.exists()
        guarded.queues.remove(queue)
    else:
        assert queue.paths.events.read_bytes() == before
        shutil.rmtree(folder)
        guarded.queues.remove(queue)
