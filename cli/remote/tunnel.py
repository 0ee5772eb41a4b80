"""A port of this machine that is a port of the instance.

sshtunnel listens and forwards. What it does by default is unsafe or slow, so it is given a
connection that was made, verified and let in before, and never makes one: it would accept any
host key, ignore a ProxyJump, and connect anew for every key it tries.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread, current_thread
from typing import Any, Self

from spawn.cli.remote.connection import Connection, cut
from spawn.cli.remote.errors import Cut, RemoteError
from spawn.cli.remote.library import paramiko, quiet, sshtunnel
from spawn.cli.remote.peer import is_ours
from spawn.core.errors import SpawnError

LOOPBACK = "127.0.0.1"
_END_SECONDS = 2.0
_LOCK_SECONDS = 0.2
_ACCEPT_SECONDS = 0.5
"""How often who accepts looks whether to end, where `shutdown` does not wake it."""


class Tunnel:
    """The way to one port of the instance. Used in a `with`.

    The port here stays the same as long as the tunnel is open. When the connection is lost, the
    next who connects to the port has it made again.

    Args:
        connection: An open one; the tunnel closes what it uses.
        port: The instance's, on its own 127.0.0.1.
        again: Makes another connection after that one was lost.
    """

    def __init__(
        self, connection: Connection, port: int, again: Callable[[], Connection] | None = None
    ) -> None:
        self._connection = connection
        self._again = again
        self._lock = Lock()
        self._closed = False
        self._trouble: SpawnError | None = None
        self.accepts = False
        """Whether anybody has begun to take connections here."""
        self.threads: set[Thread] = set()
        """Those that accept and forward now."""
        self._forwarder = _forwarder(self, port)
        self.remote_port = port
        self.host, self.port = LOOPBACK, 0

    def __enter__(self) -> Self:
        if not self._connection.alive:
            where = self._connection.where
            self._connection.close()
            raise cut(where)
        try:
            self._forwarder.start()
            self.port = int(self._forwarder.local_bind_port)
        except sshtunnel().BaseSSHTunnelForwarderError as error:
            self.close()
            raise cut(self._connection.where, str(error)) from None
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect to here."""
        return self.host, self.port

    @property
    def connection(self) -> Connection:
        """The newest connection, to run commands over; it may be lost."""
        return self._connection

    def trouble(self) -> SpawnError | None:
        """Why the newest connection to the port led nowhere; None when it was let through.

        It is known before that connection is closed here: who sees it end can ask.
        `PortClosed`: nothing listens on the instance's port. `Unreachable` and the other errors of
        `connect`: the connection was lost, and could not be made again.
        """
        return self._trouble

    def close(self) -> None:
        """End it, and the connection; nothing is left running."""
        self._closed = True
        # Who makes a connection anew just now holds the lock, and ends it himself.
        if self._lock.acquire(timeout=_LOCK_SECONDS):
            try:
                self._connection.close()
            finally:
                self._lock.release()
        self._forwarder.stop(force=True)
        for thread in list(self.threads):
            thread.join(_END_SECONDS)

    def stream(self) -> Any:
        """Open a stream to the instance's port, over another connection if the one is lost.

        Raises:
            RemoteError: It cannot be; `trouble` says so too.
        """
        connection: Connection | None = None
        try:
            connection = self._live()
            found = connection.channel(LOOPBACK, self.remote_port)
        except Cut as error:
            if connection is not None:  # nobody answers on it any more, though nobody hung up
                connection.close()
            self._trouble = error
            raise
        except SpawnError as error:
            self._trouble = error
            raise
        except OSError as error:
            self._trouble = RemoteError("the connection cannot be made again", why=str(error))
            raise self._trouble from error
        self._trouble = None
        return found

    def _live(self) -> Connection:
        """The connection, another one if it is lost."""
        with self._lock:
            if not self._closed and not self._connection.alive and self._again is not None:
                self._connection.close()
                self._connection = self._again()
                if self._closed:
                    self._connection.close()
            if self._closed:
                raise RemoteError("the tunnel is closed")
            return self._connection


def _forwarder(tunnel: Tunnel, port: int) -> Any:
    library: Any = sshtunnel()

    class Handler(library._ForwardHandler):  # type: ignore[misc]
        """One connection to the port here."""

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
                return  # `trouble` has it; the connection here is closed next
            try:
                self._redirect(channel)
            except (OSError, EOFError, paramiko().SSHException):
                pass  # either end is gone
            finally:
                channel.close()

    class Forwarder(library.SSHTunnelForwarder):  # type: ignore[misc]
        """sshtunnel's, with a connection that is there, and an end that does not wait."""

        def _connect_to_gateway(self) -> None:
            self._transport = tunnel.connection.transport

        @staticmethod
        def _consolidate_auth(**_: Any) -> tuple[None, list[Any]]:
            return None, []  # whom we are was shown before

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
                    server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
                if tunnel.accepts:  # else it would be waited for, for ever
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
