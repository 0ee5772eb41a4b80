"""Byte streams to a host: over TCP or through a ProxyCommand. Each step has a timeout."""

import contextlib
import os
import socket
import subprocess
import time
from tempfile import TemporaryFile
from threading import Thread
from typing import Any

from spawn.cli.ssh.errors import Unreachable

CONNECT_SECONDS = 5.0
_LOST_SECONDS = 20
"""TCP_USER_TIMEOUT: a connection whose data is not acknowledged for this long is lost. The kernel's
default is about 15 minutes."""
_END_SECONDS = 2.0
_QUICK = getattr(socket, "TCP_QUICKACK", None)


def connect_tcp(host: str, port: int) -> socket.socket:
    """Open a TCP connection to a host.

    Raises:
        Unreachable: The host name does not resolve, the host refuses the connection, or it does not
            answer within `CONNECT_SECONDS`.
    """
    deadline = time.monotonic() + CONNECT_SECONDS
    where = f"{host}:{port}"
    refusal: OSError | None = None
    for family, kind, protocol, _, address in _addresses(host, port):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        connection = _Quick(family, kind, protocol)
        connection.settimeout(left)
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            refusal = error
            continue
        connection.settimeout(None)
        _set_options(connection)
        return connection
    if isinstance(refusal, ConnectionRefusedError):
        raise Unreachable(
            f"nothing listens at {where}",
            why="the connection was refused: sshd is not running, or uses another port",
            hint="a new instance takes a minute to start sshd; Port in the SSH configuration "
            "sets another port",
        )
    if refusal is None or isinstance(refusal, TimeoutError):
        raise Unreachable(
            f"{where} does not answer",
            why=f"no connection within {CONNECT_SECONDS:g} s",
            hint="check that its security group allows this port from your address, and that you "
            "can reach its network",
        )
    raise Unreachable(f"{where} cannot be reached", why=refusal.strerror or str(refusal))


def _set_options(connection: socket.socket) -> None:
    """Send small writes at once, and detect a lost connection."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    timeout = getattr(socket, "TCP_USER_TIMEOUT", None)
    if timeout is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, timeout, _LOST_SECONDS * 1000)


class _Quick(socket.socket):
    """A socket that sends TCP acknowledgements at once.

    sshd uses Nagle's algorithm for forwarded data: it holds a packet back until the previous one is
    acknowledged. The kernel delays acknowledgements by up to 40 ms.
    """

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        if _QUICK is not None:
            with contextlib.suppress(OSError):  # closed in the meantime
                self.setsockopt(socket.IPPROTO_TCP, _QUICK, 1)  # the kernel resets it
        return data


class Program:
    """A running ProxyCommand, and the socket that is its standard input and output.

    Args:
        command: The shell command, run with `exec` in front, as ssh does.

    Raises:
        Unreachable: The shell cannot be started.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self.socket, theirs = socket.socketpair()
        self._stderr = TemporaryFile()  # noqa: SIM115, closed with it
        shell = os.environ.get("SHELL") or "/bin/sh"
        try:
            self._process = subprocess.Popen(
                [shell, "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._stderr,
            )
        except OSError as error:
            self.socket.close()
            self._stderr.close()
            raise Unreachable(
                "cannot run the ProxyCommand", why=f"{shell}: {error.strerror}"
            ) from None
        finally:
            theirs.close()

    def failure(self) -> str:
        """Its exit code if it has ended, and the last line of its stderr (untrusted text)."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)
        self._stderr.seek(0)
        text = self._stderr.read().decode("utf-8", "replace").strip()
        last = text.splitlines()[-1][:500] if text else ""
        code = self._process.returncode
        ended = f"exit code {code}" if code is not None else ""
        return ": ".join(each for each in (ended, last) if each)

    def close(self) -> None:
        """Stop the program and close the socket."""
        self.socket.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()


def _addresses(host: str, port: int) -> list[Any]:
    """Resolve a host name, on a thread: `getaddrinfo` may block for half a minute."""
    answer: list[Any] = []

    def resolve() -> None:
        try:
            name = host.encode() if host.isascii() else host  # bytes avoid loading IDNA's tables
            answer.append(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.append(error)

    lookup = Thread(target=resolve, name="name", daemon=True)
    lookup.start()
    lookup.join(CONNECT_SECONDS)
    if not answer:
        raise Unreachable(f"cannot resolve host name {host}", why="no name server answers")
    if isinstance(answer[0], Exception):
        why = getattr(answer[0], "strerror", None) or str(answer[0])
        raise Unreachable(
            f"cannot resolve host name {host}",
            why=why,
            hint="HostName in the SSH configuration can set an address",
        )
    return list(answer[0])
