"""Run a command on the instance, as `ssh host command` does."""

import select
import shlex
from collections.abc import Sequence
from io import BytesIO
from typing import Protocol

from spawn import __version__
from spawn.cli.remote.connection import Connection, cut
from spawn.cli.remote.errors import NoSpawn
from spawn.cli.remote.library import paramiko

_CHUNK = 1 << 15
_NOT_FOUND, _USAGE = 127, 2
_LOST = -1
"""What paramiko calls an exit without a code: a signal, or a connection that is gone."""
SIGNALLED = 255
"""Our exit code for it, as `ssh` has it."""
_SESSION = "SSH_CLIENT SSH2_CLIENT SSH_CONNECTION SSH_TTY"
"""What says that this is somebody's session. The bash of a job that inherits it may take itself for
one, and reads `~/.bashrc`. Source: bash(1), INVOCATION, on the remote shell daemon."""
_PLACES = "/usr/local/bin:/opt/spawn/bin"
"""Where else `spawn` may be: a shell that nobody logs in to reads no profile."""


class Sink(Protocol):
    """Where what a command prints is passed on to."""

    def write(self, data: bytes, /) -> int:
        """Take some of it."""
        ...

    def flush(self) -> None:
        """Let go of it."""
        ...


def run(connection: Connection, command: str | Sequence[str], out: Sink, err: Sink) -> int:
    """Run a command; what it prints is passed on as it comes.

    Args:
        command: For the shell there as it is; or words, which are quoted.

    Returns:
        Its exit code; 255 when a signal ended it.

    Raises:
        Cut: The connection is lost before its end: it may go on there, or not.
    """
    text = command if isinstance(command, str) else shlex.join(command)
    library = paramiko()
    channel = connection.session()
    try:
        channel.exec_command(text)
        channel.shutdown_write()  # nobody types
        while True:
            if not channel.recv_ready() and not channel.recv_stderr_ready():
                if channel.exit_status_ready() and channel.eof_received:
                    break
                if channel.closed or not connection.alive:
                    break
                if channel.eof_received:  # it has closed its output, and goes on
                    channel.status_event.wait(1.0)
                else:
                    select.select([channel], [], [], 1.0)
            _pass(channel, out, err)
        while _pass(channel, out, err):
            pass
        code: int = channel.recv_exit_status() if channel.exit_status_ready() else _LOST
        if code == _LOST and not connection.alive:
            raise cut(connection.where, "the command may go on there")
    except (library.SSHException, EOFError) as error:
        raise cut(connection.where, str(error) or "the command may go on there") from None
    finally:
        channel.close()
    return SIGNALLED if code == _LOST else code


def run_spawn(connection: Connection, arguments: Sequence[str], out: Sink, err: Sink) -> int:
    """Run the instance's own `spawn` with these arguments.

    Returns:
        Its exit code.

    Raises:
        NoSpawn: There is none, or one of another version that does not know the arguments.
        Cut: The connection is lost before its end.
    """
    code = run(connection, _spawn(arguments), out, err)
    if code == _NOT_FOUND:
        raise NoSpawn(
            f"there is no spawn on {connection.where} that {connection.user} finds",
            why=f"`spawn` is neither in PATH nor in ~/.local/bin, {_PLACES.replace(':', ', ')}",
            hint="--ssh-user names the user who has it",
        )
    if code == _USAGE:
        version = _version(connection)
        if version and version != __version__:
            raise NoSpawn(
                f"spawn on {connection.where} does not understand `{shlex.join(arguments)}`",
                version=version,
                why=f"it is version {version}, and this is {__version__}",
                hint="the older of the two wants an update",
            )
    return code


def _spawn(arguments: Sequence[str]) -> str:
    script = f'unset {_SESSION}; PATH="$PATH:$HOME/.local/bin:{_PLACES}"; exec spawn "$@"'
    return shlex.join(["/bin/sh", "-c", script, "sh", *arguments])


def _version(connection: Connection) -> str:
    out = BytesIO()
    code = run(connection, _spawn(["--version"]), out, BytesIO())
    words = out.getvalue().decode("utf-8", "replace").split()
    return words[-1] if code == 0 and len(words) == 2 and words[0] == "spawn" else ""


def _pass(channel: object, out: Sink, err: Sink) -> bool:
    """Pass on what is there; whether there was anything."""
    found = False
    for ready, read, to in (("recv_ready", "recv", out), ("recv_stderr_ready", "recv_stderr", err)):
        if getattr(channel, ready)():
            data = getattr(channel, read)(_CHUNK)
            if data:
                to.write(data)
                to.flush()
                found = True
    return found
