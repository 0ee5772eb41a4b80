"""Hosts that do not answer, or do not speak SSH, are detected soon and reported."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.remote.conftest import REACH
from tests.support.sshd import INSTANCE, ME, Sshd, SshUser
from tests.support.timeouts import recorded
from tests.support.wait import call_with_timeout

from spawn.cli.ssh import handshake, streams
from spawn.cli.ssh.errors import Unreachable


def _leads_to(person: SshUser, port: int, host: str = "127.0.0.1") -> None:
    person.configure(f"Host {INSTANCE}\n  HostName {host}\n  Port {port}\n  User {ME}\n")


@contextmanager
def says(text: bytes, *, then_ends: bool) -> Iterator[int]:
    """A server that sends a text to each client; yields its port."""
    held: list[socket.socket] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connection.sendall(text)
            if then_ends:
                connection.close()
            else:
                held.append(connection)

    thread = threading.Thread(target=serve, name="feed")
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        for each in held:
            each.close()


def test_a_closed_port_is_reported(person: SshUser, reach: REACH, closed_port: int) -> None:
    port = closed_port
    _leads_to(person, port)
    with pytest.raises(Unreachable, match=f"nothing listens at 127.0.0.1:{port}") as found:
        reach().connect()
    assert "refused" in found.value.why


def test_an_unknown_host_name_is_reported(person: SshUser, reach: REACH) -> None:
    _leads_to(person, 22, "not..a.name")
    with pytest.raises(Unreachable, match=r"cannot resolve host name not\.\.a\.name"):
        reach().connect()


def test_name_servers_that_do_not_answer_are_reported(
    person: SshUser, reach: REACH, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = threading.Event()
    real = socket.getaddrinfo

    def slow(host: bytes, *more: object, **named: object) -> object:
        if host == b"slow.example":
            going_on.wait(30)
            raise socket.gaierror("late")
        return real(host, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(streams, "CONNECT_SECONDS", 0.3)
    _leads_to(person, 22, "slow.example")
    try:
        with pytest.raises(Unreachable) as found:
            reach().connect()
    finally:
        going_on.set()
    assert found.value.why == "no name server answers"


def test_a_host_that_drops_packets_fails_after_one_connect_timeout(
    person: SshUser, reach: REACH, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert streams.CONNECT_SECONDS <= 10
    monkeypatch.setattr(streams, "CONNECT_SECONDS", 0.3)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(4):  # connections beyond the backlog are not answered
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        _leads_to(person, full.getsockname()[1])
        with (
            recorded(streams._Quick) as timeouts,
            pytest.raises(Unreachable, match="does not answer") as found,
        ):
            call_with_timeout(lambda: reach().connect())
        for filler in fillers:
            filler.close()
    assert "security group" in found.value.hint
    assert found.value.why == "no connection within 0.3 s"
    (seconds,) = timeouts
    assert seconds is not None
    assert 0 < seconds <= 0.3


def test_a_host_that_accepts_and_stays_silent_is_reported(
    person: SshUser, reach: REACH, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "BANNER_SECONDS", 0.6)
    with says(b"", then_ends=False) as port:
        _leads_to(person, port)
        with pytest.raises(Unreachable, match="accepts the connection but does not answer"):
            reach().connect()


def test_a_host_that_stalls_after_its_banner_is_reported(
    person: SshUser, reach: REACH, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "_AGREE_SECONDS", 0.6)
    with says(b"SSH-2.0-OpenSSH_9.2\r\n", then_ends=False) as port:
        _leads_to(person, port)
        with pytest.raises(Unreachable, match="does not answer"):
            reach().connect()


@pytest.mark.parametrize("text", [b"HTTP/1.0 400 Bad Request\r\n\r\n", b"", b"\xff\x00" * 300])
def test_a_server_that_does_not_speak_ssh_is_reported(
    person: SshUser, reach: REACH, text: bytes
) -> None:
    with says(text, then_ends=True) as port:
        _leads_to(person, port)
        with pytest.raises(Unreachable, match=r"the SSH handshake with .* failed"):
            reach().connect()


def test_a_host_without_a_common_algorithm_is_reported(
    person: SshUser, reach: REACH, server: Sshd
) -> None:
    server.stop()
    server.lines = ("Ciphers chacha20-poly1305@openssh.com",)
    server.start()
    person.add_known_hosts(server.known_hosts_line(INSTANCE))
    with pytest.raises(Unreachable, match="supports no SSH algorithm"):
        reach().connect()
