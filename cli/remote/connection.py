"""A connection to an instance: over as many hosts as the way there has."""

import shlex
from typing import Any, Self

from spawn.cli.remote.dial import Program, call
from spawn.cli.remote.errors import Cut, NotForwarded, PortClosed, RemoteError, Unreachable
from spawn.cli.remote.handshake import end, shake
from spawn.cli.remote.library import paramiko
from spawn.cli.remote.openssh import Config
from spawn.cli.remote.settings import Settings, expand
from spawn.cli.remote.trust import Trust
from spawn.core.errors import SpawnError
from spawn.core.ssh.known_hosts import named

_DEEPEST = 8
_CHANNEL_SECONDS = 8.0
_FORBIDDEN, _REFUSED = 1, 2
"""Why a channel is not opened. Source: RFC 4254 section 5.1."""


class Connection:
    """An open way to a host; closing it closes all that it leads over.

    Made by `connect`.
    """

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
        """Whether it is there, as far as anybody noticed."""
        return bool(self._transports) and all(each.is_active() for each in self._transports)

    @property
    def transport(self) -> Any:
        """paramiko's `Transport` to the host itself."""
        return self._transports[-1]

    def channel(self, host: str, port: int) -> Any:
        """Open a stream from the far end to a port.

        Raises:
            PortClosed: Nothing listens there.
            NotForwarded: The host forwards nothing to it.
            Cut: The connection is lost.
        """
        library = paramiko()
        try:
            return self.transport.open_channel(
                "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=_CHANNEL_SECONDS
            )
        except library.ChannelException as error:
            raise _closed(self.where, host, port, error.code, error.text) from None
        except (library.SSHException, OSError, EOFError) as error:
            raise cut(self.where, str(error)) from None

    def session(self) -> Any:
        """Open a channel that a command can be run in.

        Raises:
            Cut: The connection is lost.
        """
        library = paramiko()
        try:
            return self.transport.open_session(timeout=_CHANNEL_SECONDS)
        except library.ChannelException as error:
            raise RemoteError(f"{self.where} runs no command for us", why=error.text) from None
        except (library.SSHException, OSError, EOFError) as error:
            raise cut(self.where, str(error)) from None

    def close(self) -> None:
        """Let go of it all, the far end first."""
        while self._transports:
            end(self._transports.pop())
        while self._programs:
            self._programs.pop().close()

    def reach(
        self,
        config: Config,
        settings: Settings,
        user: str,
        trust: Trust,
        *,
        advice: str = "",
        deep: int = _DEEPEST,
    ) -> None:
        """Go one host further; see `connect`."""
        if deep == 0:
            raise SpawnError(
                f"the way to {settings.name} is too long",
                why="its ProxyJump leads over a host whose ProxyJump leads back",
            )
        program = None
        first = not self._transports
        if settings.proxy_command and first:
            program = Program(_command(config, settings, user))
            self._programs.append(program)
            stream: Any = program.socket
        else:
            # A host further on is reached from the one before it, whatever it has configured.
            for jump in settings.jumps if first else ():
                if jump.host != settings.name:  # `Host *` has it lead over itself
                    self._jump(config, jump.host, jump.user, jump.port, deep - 1)
            stream = self._stream(settings)
        transport = shake(stream, settings, user, trust, program=program, advice=advice)
        self._transports.append(transport)
        self.where = f"{settings.host}:{settings.port}"
        self.user = user

    def _jump(self, config: Config, host: str, user: str, port: int, deep: int) -> None:
        settings = config.of(host, user=user, port=port)
        known_as = settings.alias or named(settings.host, settings.port)
        trust = Trust(host, [known_as], [], settings.known_hosts)
        try:
            self.reach(config, settings, settings.user or config.login, trust, deep=deep)
        except RemoteError as error:
            error.hint = f"{error.hint}; " if error.hint else ""
            error.hint += f"this is the host {host} on the way; `ssh {shlex.quote(host)}` tries it"
            raise

    def _stream(self, settings: Settings) -> Any:
        if not self._transports:
            return call(settings.host, settings.port)
        try:
            return self.channel(settings.host, settings.port)
        except PortClosed as error:
            raise Unreachable(
                error.what, why=error.why, hint="the host before it says so"
            ) from None


def connect(
    config: Config, settings: Settings, user: str, trust: Trust, *, advice: str = ""
) -> Connection:
    """Connect to a host as its settings say: directly, through a program, or over other hosts.

    Raises:
        RemoteError: What kept us from it; nothing is left open.
    """
    made = Connection()
    try:
        made.reach(config, settings, user, trust, advice=advice)
    except BaseException:
        made.close()
        raise
    return made


def cut(where: str, why: str = "") -> Cut:
    """Say that a connection is lost."""
    return Cut(f"the connection to {where} is lost", why=why or "it was closed from afar")


def _command(config: Config, settings: Settings, user: str) -> str:
    tokens = config.tokens(settings.name, settings.host, user, settings.port)
    return expand(settings.proxy_command, tokens)


def _closed(where: str, host: str, port: int, code: int, text: str) -> RemoteError:
    if code == _REFUSED:
        return PortClosed(f"nothing answers at {host}:{port}, seen from {where}", why=text)
    if code == _FORBIDDEN:
        return NotForwarded(
            f"{where} lets us in, and forwards nothing to {host}:{port}",
            why=text,
            hint="AllowTcpForwarding and PermitOpen in its sshd_config say what it forwards",
        )
    return NotForwarded(f"{where} opens no way to {host}:{port}", why=text)
