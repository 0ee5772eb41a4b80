"""Supervisors that were stopped go on; one that is stopped for ever is ended in time."""

import os
import signal
from collections.abc import Iterator

import pytest
from tests.support.wait import wait_until

from spawn.runner.watch import Watch, is_stopped


@pytest.fixture
def pid() -> Iterator[int]:
    """A process of ours that waits."""
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


def test_one_that_is_stopped_goes_on_at_the_next_look(pid: int) -> None:
    watch = Watch()
    watch.add("a1", pid, None)
    for _ in range(3):  # nobody knows how long its job may take
        _stop(pid)
        watch.look()
        wait_until(lambda: not is_stopped(pid), what="it goes on")
    assert not _is_dead(pid)


def test_one_that_is_asked_to_end_its_attempt_goes_on_at_once(pid: int) -> None:
    watch = Watch()
    watch.add("a1", pid, None)
    _stop(pid)
    watch.hurry("a1", 60.0)
    wait_until(lambda: not is_stopped(pid), what="it goes on")


def test_one_that_is_stopped_again_when_its_time_is_over_is_ended(pid: int) -> None:
    watch = Watch()
    watch.add("a1", pid, 0.0)
    _stop(pid)
    watch.look()  # it may have missed its time because it was stopped: it has a chance
    wait_until(lambda: not is_stopped(pid), what="it goes on")
    _stop(pid)
    watch.look()
    wait_until(lambda: _is_dead(pid), what="it is ended")


def test_one_that_is_at_work_is_left_alone_however_late_it_is(pid: int) -> None:
    watch = Watch()
    watch.add("a1", pid, 0.0)
    for _ in range(3):
        watch.look()
    assert not _is_dead(pid)


def test_one_whose_attempt_is_over_is_forgotten(pid: int) -> None:
    watch = Watch()
    watch.add("a1", pid, 0.0)
    watch.forget("a1")
    watch.forget("a1")
    _stop(pid)
    watch.look()
    watch.hurry("a1", 0.0)
    assert is_stopped(pid)
