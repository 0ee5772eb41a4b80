"""Suspended supervisors are continued, and killed when that does not help in time."""

import os
import signal
from collections.abc import Iterator

import pytest
from tests.support.wait import wait_until

from spawn.runner.process.supervisor_watchdog import SupervisorWatchdog, is_stopped


@pytest.fixture
def pid() -> Iterator[int]:
    """A waiting child process."""
    child = os.fork()
    if child == 0:
        while True:
            signal.pause()
    yield child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: is_stopped(pid), what="it is stopped")


def _is_dead(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def test_a_suspended_supervisor_is_continued_at_the_next_check(pid: int) -> None:
    watch = SupervisorWatchdog()
    watch.add("a1", pid, None)
    for _ in range(3):  # the job's duration is unknown
        _stop(pid)
        watch.resume_stopped()
        wait_until(lambda: not is_stopped(pid), what="it goes on")
    assert not _is_dead(pid)


def test_a_suspended_supervisor_is_continued_at_once_for_a_stop(pid: int) -> None:
    watch = SupervisorWatchdog()
    watch.add("a1", pid, None)
    _stop(pid)
    watch.limit("a1", 60.0)
    wait_until(lambda: not is_stopped(pid), what="it goes on")


def test_a_supervisor_suspended_again_after_its_deadline_is_killed(pid: int) -> None:
    watch = SupervisorWatchdog()
    watch.add("a1", pid, 0.0)
    _stop(pid)
    watch.resume_stopped()  # its suspension may have delayed it: it gets a second chance
    wait_until(lambda: not is_stopped(pid), what="it goes on")
    _stop(pid)
    watch.resume_stopped()
    wait_until(lambda: _is_dead(pid), what="it is ended")


def test_a_running_supervisor_is_never_killed(pid: int) -> None:
    watch = SupervisorWatchdog()
    watch.add("a1", pid, 0.0)
    for _ in range(3):
        watch.resume_stopped()
    assert not _is_dead(pid)


def test_a_supervisor_of_an_ended_attempt_is_not_watched(pid: int) -> None:
    watch = SupervisorWatchdog()
    watch.add("a1", pid, 0.0)
    watch.forget("a1")
    watch.forget("a1")
    _stop(pid)
    watch.resume_stopped()
    watch.limit("a1", 0.0)
    assert is_stopped(pid)
