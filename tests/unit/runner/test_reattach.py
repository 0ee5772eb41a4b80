"""Authentication between a supervisor and a runner."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_hex

import pytest
from tests.support.users import unprivileged
from tests.support.wait import wait_until

from spawn.runner.process import supervisor_socket
from spawn.runner.process.supervisor_protocol import AttemptEnded, pack


@pytest.fixture
def token() -> str:
    """A socket name without a listener."""
    return token_hex(8)


def _needs_root() -> None:
    if os.getuid() != 0:
        pytest.skip("only root can be two users")


@contextmanager
def _nobody(does: Callable[[], object]) -> Iterator[None]:
    """Run code as another user, in a process that lives until the end of the block."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        said = unprivileged_here(does)
        os.read(read, 1)
        os._exit(bool(said))
    os.close(read)
    yield
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def unprivileged_here(does: Callable[[], object]) -> bool:
    """Become an unprivileged user for good and call `does`; returns whether it failed."""
    try:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        does()
    except BaseException:
        return True
    return False


def _is_listening(token: str) -> bool:
    with open("/proc/net/unix") as file:
        return any(line.rstrip().endswith(f"@spawn-queue/{token}") for line in file)


def test_a_runner_connects_to_its_supervisor(token: str) -> None:
    with supervisor_socket.listen(token) as listener:
        ours = supervisor_socket.connect(token)
        theirs = supervisor_socket.accept(listener)
        assert ours is not None
        assert theirs is not None
        with ours, theirs:
            theirs.sendall(b"hello")
            assert ours.recv(5) == b"hello"
            assert supervisor_socket.peer(ours) == (os.getpid(), os.getuid())


def test_without_a_listener_there_is_no_connection(token: str) -> None:
    assert supervisor_socket.connect(token) is None


def test_a_listener_of_another_user_is_rejected(token: str) -> None:
    _needs_root()
    kept: list[socket.socket] = []

    def forge() -> None:
        listener = supervisor_socket.listen(token)
        listener.setblocking(False)
        kept.append(listener)

    with _nobody(forge):
        wait_until(lambda: _is_listening(token), what="the name is taken")
        assert supervisor_socket.connect(token) is None


def test_a_client_of_another_user_is_rejected(token: str) -> None:
    _needs_root()
    with supervisor_socket.listen(token) as listener:

        def intrude() -> None:
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            channel.connect(f"\0spawn-queue/{token}")
            channel.sendall(pack(AttemptEnded((0,))))

        assert unprivileged(intrude) == ""
        assert supervisor_socket.accept(listener) is None


def test_root_is_accepted_by_every_listener_and_client(token: str) -> None:
    _needs_root()
    with supervisor_socket.listen(token) as listener:

        def connect() -> None:
            assert supervisor_socket.connect(token) is not None

        assert unprivileged(connect) == ""  # the listener is root
        connection, _ = listener.accept()
        connection.close()


def test_a_full_backlog_times_out(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_socket, "CONNECT_SECONDS", 1.0)
    with supervisor_socket.listen(token) as listener:
        listener.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first:
            first.connect(f"\0spawn-queue/{token}")
            assert supervisor_socket.connect(token) is None
