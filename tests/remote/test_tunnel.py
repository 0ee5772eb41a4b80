"""A local port that is forwarded to the instance while it is needed."""

import http.client
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.remote.conftest import REACH
from tests.support.relay import relay
from tests.support.sshd import INSTANCE, ME, Sshd, SshUser, keygen, public, sshd
from tests.support.users import NOBODY
from tests.support.wait import wait_until

from spawn.cli.ssh import connection as module
from spawn.cli.ssh.errors import (
    AuthenticationFailed,
    ConnectionLost,
    ForwardingRefused,
    HostKeyUnknown,
    PortClosed,
    Unreachable,
)
from spawn.cli.ssh.tunnel import Tunnel


def get(tunnel: Tunnel, path: str = "/hello") -> bytes:
    connection = http.client.HTTPConnection(*tunnel.address, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_a_port_of_the_instance_is_reachable_locally(known: Sshd, reach: REACH, feed: int) -> None:
    with reach().tunnel(feed) as tunnel:
        assert get(tunnel) == b"/hello"
        assert get(tunnel, "/much") == b"/much" * 100_000
        assert tunnel.last_error() is None
        address = tunnel.address
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_the_tunnel_listens_only_on_loopback(known: Sshd, reach: REACH, feed: int) -> None:
    with reach().tunnel(feed) as tunnel:
        listening = [
            line.split()[1]
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
            if line.split()[1].endswith(f":{tunnel.port:04X}") and line.split()[3] == "0A"
        ]
        assert listening == [f"0100007F:{tunnel.port:04X}"]
        assert tunnel.host == "127.0.0.1"


def test_concurrent_connections_are_served(known: Sshd, reach: REACH, feed: int) -> None:
    found: list[bytes] = []
    with reach().tunnel(feed) as tunnel:
        threads = [
            threading.Thread(target=lambda: found.append(get(tunnel, "/much"))) for _ in range(8)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert found == [b"/much" * 100_000] * 8


def test_all_connections_share_one_login(known: Sshd, reach: REACH, feed: int) -> None:
    before = known.logins()
    with reach().tunnel(feed) as tunnel:
        for _ in range(5):
            get(tunnel)
    assert known.logins() - before == 1


def test_a_closed_remote_port_is_distinguished_from_a_cut_tunnel(
    known: Sshd, reach: REACH, closed_port: int
) -> None:
    with reach().tunnel(closed_port) as tunnel:
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            get(tunnel)
        trouble = tunnel.last_error()
        assert isinstance(trouble, PortClosed)
        assert trouble.what.startswith(f"nothing listens at 127.0.0.1:{tunnel.remote_port}")
        assert tunnel.connection.alive


def test_disabled_port_forwarding_is_reported(
    person: SshUser, reach: REACH, tmp_path: Path, feed: int
) -> None:
    with sshd(tmp_path / "s", "AllowTcpForwarding no", allow=[person.key]) as server:
        person.map_id_to(server)
        person.add_known_hosts(server.known_hosts_line(INSTANCE))
        with reach().tunnel(feed) as tunnel:
            with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
                get(tunnel)
            trouble = tunnel.last_error()
    assert isinstance(trouble, ForwardingRefused)
    assert "AllowTcpForwarding" in trouble.hint


def _get_again(tunnel: Tunnel) -> Callable[[], bool]:
    def again() -> bool:
        try:
            return get(tunnel) == b"/hello"
        except (http.client.HTTPException, OSError):
            return False

    return again


def test_a_cut_connection_is_reopened_on_the_same_port(
    known: Sshd, reach: REACH, feed: int
) -> None:
    with reach().tunnel(feed) as tunnel:
        address = tunnel.address
        for _ in range(3):
            assert get(tunnel) == b"/hello"
            known.cut()
            wait_until(_get_again(tunnel), seconds=30, what="the tunnel is there again")
            assert tunnel.last_error() is None
        assert tunnel.address == address


def test_an_unreachable_host_is_reported_until_the_tunnel_recovers(
    known: Sshd, reach: REACH, feed: int
) -> None:
    with reach().tunnel(feed) as tunnel:
        known.stop()
        wait_until(lambda: not tunnel.connection.alive, what="the cut is noticed")
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            get(tunnel)
        assert isinstance(tunnel.last_error(), Unreachable)
        known.start()
        assert get(tunnel) == b"/hello"
        assert tunnel.last_error() is None


def test_a_request_in_progress_ends_when_the_connection_is_cut(known: Sshd, reach: REACH) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        reach().tunnel(silent.getsockname()[1]) as tunnel,
        socket.create_connection(tunnel.address, timeout=30) as client,
    ):
        client.sendall(b"hello")
        there, _ = silent.accept()
        assert there.recv(5) == b"hello"
        known.cut()
        assert client.recv(1) == b""
        there.close()


def test_another_host_key_after_a_cut_is_rejected(known: Sshd, reach: REACH, feed: int) -> None:
    with reach().tunnel(feed) as tunnel:
        known.stop()
        known.host_keys["ed25519"].unlink()
        known.host_keys["ed25519"].with_name("host_ed25519.pub").unlink()
        keygen(known.host_keys["ed25519"])
        known.start()
        wait_until(lambda: not tunnel.connection.alive, what="the cut is noticed")
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            get(tunnel)
        trouble = tunnel.last_error()
    assert trouble is not None
    assert "does not match the known one" in trouble.what


def test_a_tunnel_closed_during_a_read_leaves_nothing(known: Sshd, reach: REACH) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with reach().tunnel(silent.getsockname()[1]) as tunnel:
            client = socket.create_connection(tunnel.address, timeout=30)
            client.sendall(b"x")
            there, _ = silent.accept()
        assert client.recv(1) == b""
        client.close()
        there.close()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_several_jump_hosts_are_used(
    person: SshUser, reach: REACH, tmp_path: Path, feed: int, count: int
) -> None:
    jumps = [Sshd(tmp_path / f"jump{n}") for n in range(count)]
    with sshd(tmp_path / "instance", allow=[person.key]) as server:
        try:
            for each in jumps:
                each.allow(person.key)
                each.start()
                person.add_known_hosts(each.known_hosts_line(f"[127.0.0.1]:{each.port}"))
            person.add_known_hosts(server.known_hosts_line(INSTANCE))
            person.map_id_to(*jumps, server)
            with reach().tunnel(feed) as tunnel:
                assert get(tunnel, "/much") == b"/much" * 100_000
                jumps[0].cut()
                wait_until(_get_again(tunnel), seconds=30, what="the tunnel is there again")
            assert all("Accepted publickey" in each.log.read_text() for each in jumps)
        finally:
            for each in jumps:
                each.stop()


def test_an_unknown_jump_host_is_rejected_and_named(
    known: Sshd, person: SshUser, reach: REACH, tmp_path: Path
) -> None:
    with sshd(tmp_path / "jump", allow=[person.key]) as jump:
        person.map_id_to(jump, known)
        with pytest.raises(HostKeyUnknown, match="host key of jump-0") as found:
            reach().connect()
        command = found.value.hint.partition("if they match: ")[2].partition(";")[0]
        assert f"[127.0.0.1]:{jump.port} ssh-ed25519" in command
        assert "`ssh jump-0` tests it" in found.value.hint
        person.add_known_hosts(jump.known_hosts_line(f"[127.0.0.1]:{jump.port}"))
        reach().connect().close()


def test_a_jump_host_that_rejects_the_login_is_named(
    known: Sshd, person: SshUser, reach: REACH, tmp_path: Path
) -> None:
    with sshd(tmp_path / "jump") as jump:
        person.add_known_hosts(jump.known_hosts_line(f"[127.0.0.1]:{jump.port}"))
        person.map_id_to(jump, known)
        with pytest.raises(AuthenticationFailed) as found:
            reach().connect()
    assert "this is the jump host jump-0" in found.value.hint


def test_an_instance_unreachable_from_its_jump_host_is_reported(
    known: Sshd, person: SshUser, reach: REACH, tmp_path: Path
) -> None:
    with sshd(tmp_path / "jump", allow=[person.key]) as jump:
        person.add_known_hosts(jump.known_hosts_line(f"[127.0.0.1]:{jump.port}"))
        person.map_id_to(jump, known)
        known.stop()
        with pytest.raises(Unreachable, match=f"seen from 127.0.0.1:{jump.port}"):
            reach().connect()


def test_a_loop_of_jump_hosts_is_reported(known: Sshd, person: SshUser, reach: REACH) -> None:
    person.configure(
        f"Host {INSTANCE}\n  HostName 127.0.0.1\n  ProxyJump a\nHost a\n  ProxyJump b\n"
        "Host b\n  ProxyJump a\n"
    )
    with pytest.raises(Exception, match="is too long"):
        reach().connect()


RELAY = (
    "import socket,sys,threading,os;s=socket.create_connection((sys.argv[1],int(sys.argv[2])));\n"
    "def up():\n"
    "    while d:=os.read(0,65536): s.sendall(d)\n"
    "    os._exit(0)\n"
    "threading.Thread(target=up,daemon=True).start()\n"
    "while d:=s.recv(65536): os.write(1,d)\n"
)


def test_a_proxy_command_is_used(
    known: Sshd, person: SshUser, reach: REACH, tmp_path: Path, feed: int
) -> None:
    relay = tmp_path / "relay.py"
    relay.write_text(RELAY)
    named = tmp_path / "named"
    person.configure(
        f"Host {INSTANCE}\n  Port {known.port}\n  User {ME}\n"
        f"  ProxyCommand sh -c 'echo %h %r >{named}; exec {sys.executable} {relay} 127.0.0.1 %p'\n"
    )
    with reach().tunnel(feed) as tunnel:
        assert get(tunnel, "/much") == b"/much" * 100_000
    assert named.read_text() == f"{INSTANCE} {ME}\n"


def test_a_proxy_command_that_fails_is_quoted(known: Sshd, person: SshUser, reach: REACH) -> None:
    person.configure(
        f"Host {INSTANCE}\n  User {ME}\n"
        "  ProxyCommand sh -c 'echo TargetNotConnected: no such instance >&2; exit 4'\n"
    )
    with pytest.raises(Unreachable, match="through its ProxyCommand") as found:
        reach().connect()
    assert "exit code 4: TargetNotConnected: no such instance" in found.value.why


def test_another_user_of_this_machine_gets_nothing_through_the_tunnel(
    known: Sshd, reach: REACH, feed: int
) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can create another user")
    with reach().tunnel(feed) as tunnel:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setuid(NOBODY)
                with socket.create_connection(tunnel.address, timeout=10) as client:
                    client.sendall(b"GET /secret HTTP/1.0\r\n\r\n")
                    os.write(write, client.recv(100) or b"nothing")
            except OSError as error:
                os.write(write, type(error).__name__.encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read, 100) in (b"nothing", b"ConnectionResetError", b"BrokenPipeError")
        os.close(read)
        os.close(write)
        assert get(tunnel) == b"/hello"


def test_closing_a_tunnel_does_not_wait_for_a_reconnection(
    known: Sshd, reach: REACH, closed_port: int
) -> None:
    begun, going_on = threading.Event(), threading.Event()
    way = reach()
    made = way.connect()

    def again() -> object:
        begun.set()
        going_on.wait(30)
        return way.connect()

    tunnel = Tunnel(made, closed_port, again)  # type: ignore[arg-type]
    with tunnel:
        known.cut()
        wait_until(lambda: not made.alive, what="the cut is noticed")
        client = socket.create_connection(tunnel.address, timeout=30)
        assert begun.wait(30)
        threading.Timer(0.5, going_on.set).start()
    client.close()
    wait_until(lambda: not tunnel.connection.alive, what="what was made again is closed")


def test_a_dead_connection_times_out_and_is_reopened(
    known: Sshd, person: SshUser, reach: REACH, feed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHANNEL_SECONDS", 2.0)
    with relay(known.port) as between:
        person.configure(
            f"Host {INSTANCE}\n  HostName 127.0.0.1\n  Port {between.port}\n  User {ME}\n"
        )
        with reach().tunnel(feed) as tunnel:
            assert get(tunnel) == b"/hello"
            between.swallow()
            with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
                get(tunnel)
            assert isinstance(tunnel.last_error(), ConnectionLost)
            assert get(tunnel) == b"/hello"


def test_a_cut_connection_has_its_own_error(known: Sshd, reach: REACH, feed: int) -> None:
    with reach().connect() as connection:
        known.cut()
        wait_until(lambda: not connection.alive, what="the cut is noticed")
        with pytest.raises(ConnectionLost):
            connection.channel("127.0.0.1", feed)


def test_keys_of_a_jump_host_are_not_trusted_for_the_instance(
    known: Sshd, person: SshUser, reach: REACH, tmp_path: Path
) -> None:
    assert public(known.host_keys["ed25519"])
    with sshd(tmp_path / "jump", allow=[person.key]) as jump:
        person.map_id_to(jump, known)
        person.add_known_hosts(known.known_hosts_line(f"[127.0.0.1]:{jump.port}"))
        with pytest.raises(Exception, match="does not match the known one"):
            reach().connect()


def test_a_connection_lost_before_the_tunnel_opens_counts_as_cut(
    known: Sshd, reach: REACH, feed: int
) -> None:
    tunnel = reach().tunnel(feed)
    known.cut()
    wait_until(lambda: not tunnel.connection.alive)
    with pytest.raises(ConnectionLost), tunnel:
        pass
