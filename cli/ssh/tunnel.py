"""Forwards a local port to a port of the instance.

sshtunnel listens and forwards, over a connection that is already verified and authenticated. Its
own connections would accept any host key, ignore ProxyJump, and reconnect for each key.
"""

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread, current_thread
from typing import Any, Self

from spawn.cli.ssh.connection import SshConnection, connection_lost
from spawn.cli.ssh.errors import ConnectionLost, RemoteError
from spawn.cli.ssh.lazy_imports import paramiko, quiet, sshtunnel
from spawn.core.errors import SpawnError

LOOPBACK = "127.0.0.1"
_END_SECONDS = 2.0
_LOCK_SECONDS = 0.2
_ACCEPT_SECONDS = 0.5
"""How often the accepting thread checks whether to stop, if `shutdown` does not wake it."""


class Tunnel:
    """A tunnel to one port of the instance; a context manager.

    The local port stays the same while the tunnel is open. If the SSH connection is lost, the next
    client of the local port causes a reconnect.

    Args:
        connection: An open connection; the tunnel closes it.
        port: The port on the instance's 127.0.0.1.
        again: Makes a new connection after a lost one.
    """

    def __init__(
        self,
        connection: SshConnection,
        port: int,
        reconnect: Callable[[], SshConnection] | None = None,
    ) -> None:
        self._connection = connection
        self._reconnect = reconnect
        self._lock = Lock()
        self._closed = False
        self._trouble: SpawnError | None = None
        self.accepts = False
        """Whether a thread accepts connections to the local port."""
        self.threads: set[Thread] = set()
        """The threads that accept and forward."""
        self._forwarder = _forwarder(self, port)
        self.remote_port = port
        self.host, self.port = LOOPBACK, 0

    def __enter__(self) -> Self:
        if not self._connection.alive:
            where = self._connection.where
            self._connection.close()
            raise connection_lost(where)
        try:
            self._forwarder.start()
            self.port = int(self._forwarder.local_bind_port)
        except sshtunnel().BaseSSHTunnelForwarderError as error:
            self.close()
            raise connection_lost(self._connection.where, str(error)) from None
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> tuple[str, int]:
        """The local address and port to connect to."""
        return self.host, self.port

    @property
    def connection(self) -> SshConnection:
        """The newest SSH connection, to run commands over; it may be lost."""
        return self._connection

    def last_error(self) -> SpawnError | None:
        """Why the newest client connection was not forwarded; None if it was.

        It is set before the client connection closes, so the client can read it then.
        `PortClosed`: nothing listens on the instance's port. Errors of `Reach.connect`: the SSH
        connection was lost, and the reconnect failed.
        """
        return self._trouble

    def close(self) -> None:
        """Close the tunnel and the SSH connection, and stop all threads."""
        self._closed = True
        # A thread that is reconnecting holds the lock, and closes the new connection itself.
        if self._lock.acquire(timeout=_LOCK_SECONDS):
            try:
                self._connection.close()
            finally:
                self._lock.release()
        self._forwarder.stop(force=True)
        for thread in list(self.threads):
            thread.join(_END_SECONDS)

    def stream(self) -> Any:
        """Open a stream to the instance's port; reconnects if the connection is lost.

        Raises:
            SpawnError: The stream cannot be opened; `trouble` returns the error too.
        """
        connection: SshConnection | None = None
        try:
            connection = self._live_connection()
            channel = connection.channel(LOOPBACK, self.remote_port)
        except ConnectionLost as error:
            if connection is not None:  # it is dead, though the remote host has not closed it
                connection.close()
            self._trouble = error
            raise
        except SpawnError as error:
            self._trouble = error
            raise
        except OSError as error:
            self._trouble = RemoteError("cannot reconnect", why=str(error))
            raise self._trouble from error
        self._trouble = None
        return channel

    def _live_connection(self) -> SshConnection:
        """The connection; a new one if it is lost."""
        with self._lock:
            if not self._closed and not self._connection.alive and self._reconnect is not None:
                self._connection.close()
                self._connection = self._reconnect()
                if self._closed:
                    self._connection.close()
            if self._closed:
                raise RemoteError("the tunnel is closed")
            return self._connection


def _forwarder(tunnel: Tunnel, port: int) -> Any:
    library: Any = sshtunnel()

    class Handler(library._ForwardHandler):  # type: ignore[misc]
        """One client connection to the local port."""

        remote_address = (LOOPBACK, port)
        logger = quiet("spawn.tunnel")

        def handle(self) -> None:
            self.info = current_thread().name = "tunnel"
            tunnel.threads.add(current_thread())
            try:
                self._forward()
            finally:
                tunnel.threads.discard(current_thread())

        def _forward(self) -> None:
            if not is_ours(self.request):
                return
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                channel = tunnel.stream()
            except SpawnError:
                return  # kept in `trouble`; closes the client connection
            try:
                self._redirect(channel)
            except (OSError, EOFError, paramiko().SSHException):
                pass  # either end has disconnected
            finally:
                channel.close()

    class Forwarder(library.SSHTunnelForwarder):  # type: ignore[misc]
        """sshtunnel's forwarder on an existing connection, with a stop that does not block."""

        def _connect_to_gateway(self) -> None:
            self._transport = tunnel.connection.transport

        @staticmethod
        def _consolidate_auth(**_: Any) -> tuple[None, list[Any]]:
            return None, []  # already authenticated

        def _make_ssh_forward_handler_class(self, remote_address_: Any) -> type:
            return Handler

        def _serve_forever_wrapper(
            self, server: Any, poll_interval: float = _ACCEPT_SECONDS
        ) -> None:
            tunnel.accepts = True
            tunnel.threads.add(current_thread())
            server.serve_forever(poll_interval)
            tunnel.threads.discard(current_thread())

        def _stop_transport(self, force: bool = False) -> None:
            for server in self._server_list:
                with suppress(OSError):
                    server.socket.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
                if tunnel.accepts:  # `shutdown` would block forever otherwise
                    server.shutdown()
                server.server_close()
            self.is_alive = False

    return Forwarder(
        (tunnel.connection.where.rpartition(":")[0] or LOOPBACK, 22),
        ssh_config_file=None,
        ssh_username=tunnel.connection.user,
        remote_bind_address=(LOOPBACK, port),
        local_bind_address=(LOOPBACK, 0),
        allow_agent=False,
        host_pkey_directories=[],
        logger=quiet("spawn.tunnel"),
    )


_TABLE = Path("/proc/net/tcp")


def is_ours(connection: socket.socket) -> bool:
    """Whether a loopback connection comes from this user or root; False if the socket is not found.

    Source: proc(5), /proc/net/tcp: addresses in the machine's byte order, the uid in field 8.
    """
    if not _TABLE.exists():
        return True
    theirs, ours = _hex(connection.getpeername()), _hex(connection.getsockname())
    for line in _TABLE.read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == theirs and fields[2] == ours:
            return int(fields[7]) in (0, os.getuid())
    return False


def _hex(address: tuple[str, int]) -> str:
    packed = socket.inet_aton(address[0])
    number = int.from_bytes(packed, sys.byteorder)
    return f"{number:08X}:{address[1]:04X}"
