"""An SSH connection to an instance, through any number of jump hosts."""

import shlex
from contextlib import suppress
from typing import Any, Self

from spawn.cli.ssh.errors import (
    ConnectionLost,
    ForwardingRefused,
    PortClosed,
    RemoteError,
    Unreachable,
)
from spawn.cli.ssh.handshake import close_transport, open_transport
from spawn.cli.ssh.host_key_check import HostKeyVerifier
from spawn.cli.ssh.host_settings import HostSettings, expand
from spawn.cli.ssh.known_hosts import host_name
from spawn.cli.ssh.lazy_imports import paramiko
from spawn.cli.ssh.ssh_config import SshConfig
from spawn.cli.ssh.streams import Program, connect_tcp
from spawn.core.errors import SpawnError

_MAX_HOPS = 8
_CHANNEL_SECONDS = 8.0
_FORBIDDEN, _REFUSED = 1, 2
"""Reason codes of a channel open failure. Source: RFC 4254 section 5.1."""


class SshConnection:
    """An open SSH connection to a host, made by `connect`. Closing it also closes its jump hosts'
    connections."""

    def __init__(self) -> None:
        self._transports: list[Any] = []
        self._programs: list[Program] = []
        self.where = ""
        self.user = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether no part of the connection is known to be lost."""
        return bool(self._transports) and all(each.is_active() for each in self._transports)

    def answers(self) -> bool:
        """Ask the host whether the connection still works; blocks until it answers or is lost.

        A connection that was cut a moment ago may not be known to be lost yet.
        """
        with suppress(paramiko().SSHException, EOFError, OSError):
            self.transport.global_request("keepalive@openssh.com", wait=True)
        return self.alive

    @property
    def transport(self) -> Any:
        """paramiko's `Transport` to the target host."""
        return self._transports[-1]

    def channel(self, host: str, port: int) -> Any:
        """Open a stream from the remote host to a port.

        Raises:
            PortClosed: Nothing listens on the port.
            NotForwarded: The host refuses to forward to the port.
            Cut: The connection is lost.
        """
        library = paramiko()
        try:
            return self.transport.open_channel(
                "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=_CHANNEL_SECONDS
            )
        except library.ChannelException as error:
            raise _channel_error(self.where, host, port, error.code, error.text) from None
        except (library.SSHException, OSError, EOFError) as error:
            raise connection_lost(self.where, str(error)) from None

    def session(self) -> Any:
        """Open a session channel, to run one command in.

        Raises:
            Cut: The connection is lost.
            RemoteError: The host refuses to run commands.
        """
        library = paramiko()
        try:
            return self.transport.open_session(timeout=_CHANNEL_SECONDS)
        except library.ChannelException as error:
            raise RemoteError(f"{self.where} refuses to run commands", why=error.text) from None
        except (library.SSHException, OSError, EOFError) as error:
            raise connection_lost(self.where, str(error)) from None

    def close(self) -> None:
        """Close all transports, the target host first, then the ProxyCommand."""
        while self._transports:
            close_transport(self._transports.pop())
        while self._programs:
            self._programs.pop().close()

    def reach(
        self,
        config: SshConfig,
        settings: HostSettings,
        user: str,
        verifier: HostKeyVerifier,
        *,
        advice: str = "",
        hops: int = _MAX_HOPS,
    ) -> None:
        """Extend the connection to one more host; arguments and errors as for `connect`."""
        if hops == 0:
            raise SpawnError(
                f"the chain of jump hosts to {settings.name} is too long",
                why="the ProxyJump of one of them probably leads back to another",
            )
        program = None
        first = not self._transports
        if settings.proxy_command and first:
            program = Program(_proxy_command(config, settings, user))
            self._programs.append(program)
            stream: Any = program.socket
        else:
            # Hosts after the first are reached from the previous one: their ProxyJump is unused.
            for jump in settings.jumps if first else ():
                if jump.host != settings.name:  # `Host *` gives the jump host its own ProxyJump
                    self._jump(config, jump.host, jump.user, jump.port, hops - 1)
            stream = self._stream(settings)
        transport = open_transport(stream, settings, user, verifier, program=program, advice=advice)
        self._transports.append(transport)
        self.where = f"{settings.host}:{settings.port}"
        self.user = user

    def _jump(self, config: SshConfig, host: str, user: str, port: int, hops: int) -> None:
        settings = config.settings_for(host, user=user, port=port)
        known_as = settings.alias or host_name(settings.host, settings.port)
        verifier = HostKeyVerifier(host, [known_as], [], settings.known_hosts)
        try:
            self.reach(config, settings, settings.user or config.login, verifier, hops=hops)
        except RemoteError as error:
            hint = f"this is the jump host {host}; `ssh {shlex.quote(host)}` tests it"
            raise error.with_hint(hint) from error

    def _stream(self, settings: HostSettings) -> Any:
        if not self._transports:
            return connect_tcp(settings.host, settings.port)
        try:
            return self.channel(settings.host, settings.port)
        except PortClosed as error:
            raise Unreachable(
                error.what, why=error.why, hint="the jump host before it reported this"
            ) from None


def connect(
    config: SshConfig,
    settings: HostSettings,
    user: str,
    verifier: HostKeyVerifier,
    *,
    advice: str = "",
) -> SshConnection:
    """Connect to a host as its settings say: directly, through a ProxyCommand, or over jump hosts.

    Args:
        advice: An additional hint for the error when authentication fails.

    Raises:
        RemoteError: The connection failed. Nothing is left open.
    """
    connection = SshConnection()
    try:
        connection.reach(config, settings, user, verifier, advice=advice)
    except BaseException:
        connection.close()
        raise
    return connection


def connection_lost(where: str, why: str = "") -> ConnectionLost:
    """Make the error for a lost connection."""
    return ConnectionLost(
        f"the connection to {where} is lost", why=why or "the remote host closed it"
    )


def _proxy_command(config: SshConfig, settings: HostSettings, user: str) -> str:
    tokens = config.tokens(settings.name, settings.host, user, settings.port)
    return expand(settings.proxy_command, tokens)


def _channel_error(where: str, host: str, port: int, code: int, text: str) -> RemoteError:
    if code == _REFUSED:
        return PortClosed(f"nothing listens at {host}:{port}, as seen from {where}", why=text)
    if code == _FORBIDDEN:
        return ForwardingRefused(
            f"{where} accepts the login but refuses to forward to {host}:{port}",
            why=text,
            hint="check AllowTcpForwarding and PermitOpen in its sshd_config",
        )
    return ForwardingRefused(f"{where} cannot forward to {host}:{port}", why=text)
