"""A stream of bytes to a host: over TCP, or through a ProxyCommand; each step's time is bounded.

What is said of a failure is for people: who was called, and what most often is the cause.
"""

import contextlib
import os
import socket
import subprocess
import time
from tempfile import TemporaryFile
from threading import Thread
from typing import Any

from spawn.cli.remote.errors import Unreachable

CONNECT_SECONDS = 5.0
_LOST_SECONDS = 20
"""Bytes that nobody acknowledges for so long mean that the connection is lost: else the kernel
waits a quarter of an hour."""
_END_SECONDS = 2.0
_QUICK = getattr(socket, "TCP_QUICKACK", None)


def call(host: str, port: int) -> socket.socket:
    """Connect to a host.

    Raises:
        Unreachable: It has no address, refuses, or does not answer in `CONNECT_SECONDS`.
    """
    deadline = time.monotonic() + CONNECT_SECONDS
    where = f"{host}:{port}"
    refusal: OSError | None = None
    for family, kind, protocol, _, address in _addresses(host, port):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        found = _Quick(family, kind, protocol)
        found.settimeout(left)
        try:
            found.connect(address)
        except OSError as error:
            found.close()
            refusal = error
            continue
        found.settimeout(None)
        ready(found)
        return found
    if isinstance(refusal, ConnectionRefusedError):
        raise Unreachable(
            f"nothing listens at {where}",
            why="the connection was refused: no sshd runs there, or it has another port",
            hint="an instance that has just been started takes a minute; Port in the SSH "
            "configuration names another",
        )
    if refusal is None or isinstance(refusal, TimeoutError):
        raise Unreachable(
            f"{where} does not answer",
            why=f"no connection within {CONNECT_SECONDS:g} s",
            hint="does its security group let you in on that port, and is it in a network that "
            "you can reach",
        )
    raise Unreachable(f"{where} cannot be reached", why=refusal.strerror or str(refusal))


def ready(found: socket.socket) -> None:
    """Set a connection up to be quick with little, and to notice that nobody is there any more."""
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    timeout = getattr(socket, "TCP_USER_TIMEOUT", None)
    if timeout is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.IPPROTO_TCP, timeout, _LOST_SECONDS * 1000)


class _Quick(socket.socket):
    """A socket that acknowledges at once.

    sshd leaves Nagle's algorithm on for what it forwards: it waits for our word that the last
    piece came, and the kernel waits 40 ms for something to send it along with.
    """

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        if _QUICK is not None:
            with contextlib.suppress(OSError):  # it was closed meanwhile
                self.setsockopt(socket.IPPROTO_TCP, _QUICK, 1)  # holds until the next one
        return data


class Program:
    """A ProxyCommand, and the socket that is its standard input and output.

    Args:
        command: For the shell, as ssh runs it: with `exec` before it.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self.socket, theirs = socket.socketpair()
        self._complaints = TemporaryFile()  # noqa: SIM115, closed with it
        shell = os.environ.get("SHELL") or "/bin/sh"
        try:
            self._process = subprocess.Popen(
                [shell, "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._complaints,
            )
        except OSError as error:
            self.socket.close()
            self._complaints.close()
            raise Unreachable(
                "the ProxyCommand cannot be run", why=f"{shell}: {error.strerror}"
            ) from None
        finally:
            theirs.close()

    def complaint(self) -> str:
        """Its last words, if it has ended: for people. Foreign text."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)
        self._complaints.seek(0)
        text = self._complaints.read().decode("utf-8", "replace").strip()
        last = text.splitlines()[-1][:500] if text else ""
        code = self._process.returncode
        ended = f"it ended with exit code {code}" if code is not None else ""
        return ": ".join(each for each in (ended, last) if each)

    def close(self) -> None:
        """End it."""
        self.socket.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._complaints.close()


def _addresses(host: str, port: int) -> list[Any]:
    """Look a name up; the library's own call may take half a minute and cannot be stopped."""
    answer: list[Any] = []

    def ask() -> None:
        try:
            name = host.encode() if host.isascii() else host  # for text, IDNA's tables are loaded
            answer.append(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.append(error)

    asking = Thread(target=ask, name="name", daemon=True)
    asking.start()
    asking.join(CONNECT_SECONDS)
    if not answer:
        raise Unreachable(f"the name {host} is not found", why="no name server answers")
    if isinstance(answer[0], Exception):
        why = getattr(answer[0], "strerror", None) or str(answer[0])
        raise Unreachable(
            f"the name {host} is not found",
            why=why,
            hint="HostName in the SSH configuration names an address",
        )
    return list(answer[0])
