"""Run a command on an instance, as `ssh host command` does."""

import select
import shlex
from collections.abc import Sequence
from io import BytesIO
from typing import Protocol

from spawn import __version__
from spawn.cli.ssh.connection import SshConnection, connection_lost
from spawn.cli.ssh.errors import SpawnNotInstalled
from spawn.cli.ssh.lazy_imports import paramiko

_CHUNK = 1 << 15
_NOT_FOUND, _USAGE = 127, 2
_LOST = -1
"""paramiko's exit status without a code: after a signal or a lost connection."""
SIGNALLED = 255
"""The exit code after a signal, as for `ssh`."""
_SESSION = "SSH_CLIENT SSH2_CLIENT SSH_CONNECTION SSH_TTY"
"""Variables of an SSH session. A job that inherits them may run a bash that takes itself for a
remote shell and reads `~/.bashrc`. Source: bash(1), INVOCATION."""
_PLACES = "/usr/local/bin:/opt/spawn/bin"
"""Added to PATH: a non-login shell does not read the profile."""


class Sink(Protocol):
    """A binary stream that receives a command's output."""

    def write(self, data: bytes, /) -> int:
        """Write bytes; returns how many."""
        ...

    def flush(self) -> None:
        """Flush the stream."""
        ...


def run(connection: SshConnection, command: str | Sequence[str], out: Sink, err: Sink) -> int:
    """Run a command and pass its output on as it arrives.

    Args:
        command: A string for the remote shell, or words to quote for it.

    Returns:
        The command's exit code; 255 if a signal ended it.

    Raises:
        Cut: The connection is lost before the command ends. The command may still be running.
    """
    text = command if isinstance(command, str) else shlex.join(command)
    library = paramiko()
    channel = connection.session()
    try:
        channel.exec_command(text)
        channel.shutdown_write()  # the command gets no input
        while True:
            if not channel.recv_ready() and not channel.recv_stderr_ready():
                if channel.exit_status_ready() and channel.eof_received:
                    break
                if channel.closed or not connection.alive:
                    break
                if channel.eof_received:  # the command has closed its output but still runs
                    channel.status_event.wait(1.0)
                else:
                    select.select([channel], [], [], 1.0)
            _copy_output(channel, out, err)
        while _copy_output(channel, out, err):
            pass
        code: int = channel.recv_exit_status() if channel.exit_status_ready() else _LOST
        if code == _LOST and not connection.answers():  # else a signal ended the command
            raise connection_lost(connection.where, "the command may still be running there")
    except (library.SSHException, EOFError) as error:
        why = str(error) or "the command may still be running there"
        raise connection_lost(connection.where, why) from None
    finally:
        channel.close()
    return SIGNALLED if code == _LOST else code


def run_spawn(connection: SshConnection, arguments: Sequence[str], out: Sink, err: Sink) -> int:
    """Run the instance's own `spawn` with these arguments.

    Returns:
        The exit code of `spawn`.

    Raises:
        NoSpawn: `spawn` is not installed, or is another version that rejects the arguments.
        Cut: The connection is lost before the command ends.
    """
    code = run(connection, _spawn(arguments), out, err)
    if code == _NOT_FOUND:
        raise SpawnNotInstalled(
            f"spawn not found on {connection.where} for user {connection.user}",
            why=f"`spawn` is neither in PATH nor in ~/.local/bin, {_PLACES.replace(':', ', ')}",
            hint="--ssh-user selects the user who installed it",
        )
    if code == _USAGE:
        version = _version(connection)
        if version and version != __version__:
            raise SpawnNotInstalled(
                f"spawn on {connection.where} does not understand `{shlex.join(arguments)}`",
                version=version,
                why=f"it is version {version}, and this is {__version__}",
                hint="update the older of the two",
            )
    return code


def _spawn(arguments: Sequence[str]) -> str:
    script = f'unset {_SESSION}; PATH="$PATH:$HOME/.local/bin:{_PLACES}"; exec spawn "$@"'
    return shlex.join(["/bin/sh", "-c", script, "sh", *arguments])


def _version(connection: SshConnection) -> str:
    out = BytesIO()
    code = run(connection, _spawn(["--version"]), out, BytesIO())
    words = out.getvalue().decode("utf-8", "replace").split()
    return words[-1] if code == 0 and len(words) == 2 and words[0] == "spawn" else ""


def _copy_output(channel: object, out: Sink, err: Sink) -> bool:
    """Copy the available output; returns whether there was any."""
    found = False
    for ready, read, to in (("recv_ready", "recv", out), ("recv_stderr_ready", "recv_stderr", err)):
        if getattr(channel, ready)():
            data = getattr(channel, read)(_CHUNK)
            if data:
                to.write(data)
                to.flush()
                found = True
    return found
