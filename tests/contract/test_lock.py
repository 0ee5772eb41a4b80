"""The lock ends with its holder, however that ends; queries never take it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.users import public_folder, unprivileged
from tests.support.wait import wait_until

from spawn.store.queue_dir import lock

HOLD = """
import sys, time
from pathlib import Path
from spawn.store.queue_dir import lock
assert lock.acquire(Path(sys.argv[1])) is not None
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of a lock that does not exist yet."""
    return tmp_path / "runner.lock"


@contextmanager
def _holder(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


@contextmanager
def _forever(function: Callable[[], object]) -> Iterator[None]:
    """Start another process that repeats a call."""
    child = os.fork()
    if child == 0:
        try:
            while True:
                function()
        finally:
            os._exit(1)
    try:
        yield
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "the process has failed"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_lock_has_one_holder_while_its_descriptor_is_open(path: Path) -> None:
    assert not lock.is_held(path)
    held = lock.acquire(path)
    assert held is not None
    assert lock.is_held(path)
    assert lock.acquire(path) is None
    os.close(held)
    assert not lock.is_held(path)
    again = lock.acquire(path)
    assert again is not None
    os.close(again)


def test_a_failed_attempt_to_lock_does_not_release_the_lock(path: Path) -> None:
    """A classic POSIX lock would be released when any descriptor of the file is closed."""
    held = lock.acquire(path)
    assert held is not None
    for _ in range(3):
        assert lock.acquire(path) is None
        assert lock.is_held(path)
    os.close(held)


def test_a_lock_of_another_process_is_seen_and_excludes_ours(path: Path) -> None:
    with _holder(path):
        assert lock.is_held(path)
        assert lock.acquire(path) is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_ends_when_its_holder_is_killed(path: Path, number: signal.Signals) -> None:
    with _holder(path) as process:
        process.send_signal(number)
        process.wait()
        wait_until(lambda: not lock.is_held(path), what="the lock is free")
        held = lock.acquire(path)
        assert held is not None
        os.close(held)


def test_a_program_started_by_the_holder_does_not_hold_the_lock(path: Path) -> None:
    held = lock.acquire(path)
    assert held is not None
    with subprocess.Popen(["sleep", "600"], close_fds=False) as child:
        try:
            assert lock.is_held(path)
            os.close(held)
            assert not lock.is_held(path)
        finally:
            child.kill()


def test_a_forked_copy_of_the_holder_holds_the_lock_until_it_ends(path: Path) -> None:
    held = lock.acquire(path)
    assert held is not None
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    os.close(held)
    assert lock.is_held(path)
    os.close(write)
    os.waitpid(child, 0)
    assert not lock.is_held(path)


def test_queries_never_prevent_locking(path: Path) -> None:
    """Queries that lock briefly themselves made 469 of 3,000 attempts fail."""
    path.touch()
    with _forever(lambda: lock.is_held(path)), _forever(lambda: lock.is_held(path)):
        for takes in range(10_000):
            held = lock.acquire(path)
            assert held is not None, f"after {takes} takes"
            os.close(held)


def test_queries_always_see_the_holder_while_others_query(path: Path) -> None:
    with _holder(path), _forever(lambda: lock.is_held(path)):
        assert all(lock.is_held(path) for _ in range(2000))


def test_one_of_many_concurrent_attempts_gets_the_lock(path: Path) -> None:
    for _ in range(20):
        children = []
        start_read, start_write = os.pipe()
        done_read, done_write = os.pipe()
        for _ in range(6):
            child = os.fork()
            if child == 0:
                os.close(start_write)
                os.read(start_read, 1)
                got = lock.acquire(path)
                os.write(done_write, b"y" if got is not None else b"n")
                os.close(done_write)
                os.kill(os.getpid(), signal.SIGSTOP)
                os._exit(0)
            children.append(child)
        os.close(start_read)
        os.close(done_write)
        os.close(start_write)
        with open(done_read, "rb") as pipe:
            answers = pipe.read()
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert sorted(answers) == sorted(b"y" + b"n" * 5)


def test_read_permission_suffices_for_queries(path: Path) -> None:
    folder = public_folder()
    file = folder / "runner.lock"
    held = lock.acquire(file)
    assert held is not None
    folder.chmod(0o555)

    def ask() -> None:
        assert lock.is_held(file)

    assert unprivileged(ask) == ""
    os.close(held)
    folder.chmod(0o755)
    file.unlink()
    folder.rmdir()
