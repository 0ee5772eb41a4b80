"""The private hooks of paramiko and sshtunnel that `cli/ssh` uses.

An upgrade may take one away without notice: then a test fails that names it and the module that
needs it. The upper bounds in `pyproject.toml` are raised only with these tests passing.
"""

import inspect
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from spawn.cli.ssh.connection import SshConnection
from spawn.cli.ssh.handshake import close_transport
from spawn.cli.ssh.lazy_imports import paramiko, sshtunnel, with_commands
from spawn.cli.ssh.tunnel import Tunnel

AGENT, CONFIG, CHANNEL = "private_keys.py", "lazy_imports.py", "run.py"
TRANSPORT, TUNNEL = "handshake.py", "tunnel.py"

METHODS = {
    "paramiko.agent.AgentSSH._connect": (AGENT, ["self", "conn"]),
    "paramiko.agent.AgentSSH._close": (AGENT, ["self"]),
    "paramiko.packet.Packetizer.complete_handshake": (TRANSPORT, ["self"]),
    "sshtunnel._ForwardHandler.handle": (TUNNEL, ["self"]),
    "sshtunnel._ForwardHandler._redirect": (TUNNEL, ["self", "chan"]),
    "sshtunnel.SSHTunnelForwarder._connect_to_gateway": (TUNNEL, ["self"]),
    "sshtunnel.SSHTunnelForwarder._consolidate_auth": (
        TUNNEL,
        [
            *("ssh_password", "ssh_pkey", "ssh_pkey_password"),
            *("allow_agent", "host_pkey_directories", "logger"),
        ],
    ),
    "sshtunnel.SSHTunnelForwarder._make_ssh_forward_handler_class": (
        TUNNEL,
        ["self", "remote_address_"],
    ),
    "sshtunnel.SSHTunnelForwarder._serve_forever_wrapper": (
        TUNNEL,
        ["self", "_srv", "poll_interval"],
    ),
    "sshtunnel.SSHTunnelForwarder._stop_transport": (TUNNEL, ["self", "force"]),
}
"""Each private method that is called or overridden: its user in `cli/ssh`, and its parameters."""

_IDENTITIES, _FAILURE = 12, 5
"""Messages of an agent. Source: draft-ietf-sshm-ssh-agent, section 6.1."""


def resolve(path: str) -> Any:
    """Return what a dotted path names; None if it does not exist."""
    found: Any = SimpleNamespace(paramiko=paramiko(), sshtunnel=sshtunnel())
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


def expect(hook: str, user: str, holds: bool) -> None:
    assert holds, f"{hook} is gone or behaves differently: cli/ssh/{user} needs it"


@pytest.mark.parametrize("path", METHODS)
def test_a_private_method_exists_with_the_same_parameters(path: str) -> None:
    user, parameters = METHODS[path]
    method = resolve(path)
    expect(path, user, method is not None)
    expect(path, user, list(inspect.signature(method).parameters) == parameters)


def test_each_method_that_a_tunnel_overrides_is_listed() -> None:
    forwarder, handler = tunnel_classes()
    for base, ours in (("SSHTunnelForwarder", forwarder), ("_ForwardHandler", handler)):
        for name in vars(ours).keys() & vars(getattr(sshtunnel(), base)).keys():
            if callable(getattr(ours, name)) and not name.startswith("__"):
                assert f"sshtunnel.{base}.{name}" in METHODS


def tunnel_classes() -> tuple[type, type]:
    """Return the product's subclasses of a forwarder and of its handler."""
    connection = SshConnection()
    connection.where, connection.user = "127.0.0.1:22", "user"
    forwarder = Tunnel(connection, 1)._forwarder
    return type(forwarder), forwarder._make_ssh_forward_handler_class(None)


def host() -> Any:
    """Return what a server of paramiko asks: each user may log in and open any channel."""
    library = paramiko()

    class Host(library.ServerInterface):  # type: ignore[misc]
        def check_auth_none(self, username: str) -> Any:
            return library.AUTH_SUCCESSFUL

        def check_channel_request(self, kind: str, number: int) -> Any:
            return library.OPEN_SUCCEEDED

        def check_channel_direct_tcpip_request(self, number: int, *ends: Any) -> Any:
            return library.OPEN_SUCCEEDED

        def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
            return True

    return Host()


@contextmanager
def transports() -> Iterator[tuple[Any, Any]]:
    """Yield both ends of an SSH connection, the client's first: paramiko serves the other end."""
    library = paramiko()
    near, far = socket.socketpair()
    client, server = library.Transport(near), library.Transport(far)
    try:
        server.add_server_key(library.ECDSAKey.generate())
        server.start_server(event=Event(), server=host())  # returns at once
        client.start_client(timeout=30)
        client.auth_none("user")
        yield client, server
    finally:
        close_transport(client)
        close_transport(server)


def recorder(name: str, method: Callable[..., Any], called: set[str]) -> Callable[..., Any]:
    """Wrap a method so that it notes its name in `called`."""

    @wraps(method)
    def record(*arguments: Any, **keywords: Any) -> Any:
        called.add(name)
        return method(*arguments, **keywords)

    return record


def test_a_tunnel_calls_each_overridden_method() -> None:
    called: set[str] = set()
    with transports() as (client, server):
        connection = SshConnection()
        connection._transports.append(client)
        connection.where, connection.user = "127.0.0.1:22", "user"
        tunnel = Tunnel(connection, 80)
        forwarder = tunnel._forwarder
        credentials = "sshtunnel.SSHTunnelForwarder._consolidate_auth"
        expect(credentials, TUNNEL, (forwarder.ssh_password, forwarder.ssh_pkeys) == (None, []))
        called.add("_consolidate_auth")
        for name, method in list(vars(type(forwarder)).items()):
            if inspect.isfunction(method):
                setattr(type(forwarder), name, recorder(name, method, called))
        with tunnel, socket.create_connection(tunnel.address, timeout=30) as stream:
            stream.sendall(b"ping")
            channel = server.accept(30)
            assert channel.recv(4) == b"ping"
            channel.sendall(b"pong")
            assert stream.recv(4) == b"pong"
            expect("sshtunnel.SSHTunnelForwarder._transport", TUNNEL, forwarder.is_active)
            expect("sshtunnel.SSHTunnelForwarder._server_list", TUNNEL, len(listening(tunnel)) == 1)
            expect("sshtunnel.SSHTunnelForwarder.is_alive", TUNNEL, forwarder.is_alive)
    for path in METHODS:
        if path.startswith("sshtunnel.SSHTunnelForwarder."):
            expect(path, TUNNEL, path.rpartition(".")[2] in called)


def listening(tunnel: Tunnel) -> list[Any]:
    """Return the servers of a tunnel that listen on its port."""
    servers = getattr(tunnel._forwarder, "_server_list", [])
    return [each for each in servers if each.socket.getsockname() == tunnel.address]


def test_a_transport_has_the_attributes_that_the_handshake_sets() -> None:
    near, far = socket.socketpair()
    with far:
        transport = paramiko().Transport(near)
        for name in ("banner_timeout", "handshake_timeout", "auth_timeout", "packetizer", "sock"):
            expect(f"paramiko.Transport.{name}", TRANSPORT, hasattr(transport, name))
        expect("paramiko.Transport.sock", TRANSPORT, transport.sock is near)
        close_transport(transport)
    expect("paramiko.Transport.close", TRANSPORT, near.fileno() == -1)


def test_a_channel_tells_of_its_end_and_of_its_status() -> None:
    with transports() as (client, server):
        channel = client.open_session(timeout=30)
        channel.exec_command("true")
        served = server.accept(30)
        expect("paramiko.Channel.eof_received", CHANNEL, not channel.eof_received)
        served.shutdown_write()
        assert channel.recv(1) == b""
        expect("paramiko.Channel.eof_received", CHANNEL, bool(channel.eof_received))
        served.send_exit_status(7)
        expect("paramiko.Channel.status_event", CHANNEL, channel.status_event.wait(30))
        assert channel.recv_exit_status() == 7


def packet(data: bytes) -> bytes:
    """Return a string as SSH sends it: length, then bytes."""
    return struct.pack(">I", len(data)) + data


def test_an_agent_on_an_open_connection_lists_its_keys_and_refuses_to_sign() -> None:
    blob = paramiko().ECDSAKey.generate().asbytes()
    keys = struct.pack(">BI", _IDENTITIES, 1) + packet(blob) + packet(b"laptop")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(packet(keys))
        agent = paramiko().agent.AgentSSH()
        agent._connect(ours)
        expect("paramiko.agent.AgentSSH._conn", AGENT, agent._conn is ours)
        (key,) = agent.get_keys()
        expect("paramiko.AgentKey.blob", AGENT, key.blob == blob)
        expect("paramiko.AgentKey.comment", AGENT, key.comment == "laptop")
        theirs.sendall(packet(bytes([_FAILURE])))
        with pytest.raises(paramiko().SSHException) as found:
            key.sign_ssh_data(b"data")
        expect("the word `signing` in AgentKey's error", TRANSPORT, "signing" in str(found.value))
        agent._close()
        expect("paramiko.agent.AgentSSH._close", AGENT, ours.fileno() == -1)


def test_match_exec_runs_through_the_stand_in_for_invoke() -> None:
    config = paramiko().config
    expect("paramiko.config.invoke", CONFIG, hasattr(config, "invoke"))
    with_commands()
    lines = ["Match exec true", "  Port 1", "Match exec false", "  User no"]
    parsed = paramiko().SSHConfig()
    parsed.parse(lines)
    found = parsed.lookup("host")
    expect("paramiko.config.invoke.run", CONFIG, found["port"] == "1" and "user" not in found)
