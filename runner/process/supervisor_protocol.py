"""Messages between a runner, a supervisor and a command at the gate.

A message is its length in four bytes, big-endian, and its name and fields in Python's `marshal`
format. Every Python since 3.4 reads version 4 of it: a new runner may talk to an old supervisor.
`marshal` is safe here because both ends are processes of the same user.
"""

import marshal
import os
import socket
import struct
from typing import Any, NamedTuple

from spawn.core.domain.attempt_exit import StopCause

_LENGTH = struct.Struct(">I")
_FORMAT = 4


class Order(NamedTuple):
    """To a supervisor: prepare this attempt and hold its command at the gate.

    `timeout` and `kill_grace` are seconds; `environment` is the complete one of the command.
    """

    token: str
    folder: str
    job_log: str
    job_log_link: str
    command: str
    working_directory: str
    environment: dict[bytes, bytes]
    timeout: float | None
    kill_grace: float


class Ready(NamedTuple):
    """From a supervisor: the command waits at the gate."""

    pid: int
    supervisor: int
    log_offset: int


class PrepareFailed(NamedTuple):
    """From a supervisor: the attempt could not be prepared, and nothing of it runs."""

    why: str


class Go(NamedTuple):
    """To a supervisor: open the gate, because the attempt's start is durable."""


class Stop(NamedTuple):
    """To a supervisor: end the attempt; `grace` is seconds from SIGTERM to SIGKILL."""

    cause: StopCause
    grace: float


class AttemptEnded(NamedTuple):
    """From a supervisor: the attempt is over and recorded, and none of its processes runs."""

    exit: tuple[Any, ...]


Message = Order | Ready | PrepareFailed | Go | Stop | AttemptEnded

_KINDS = {kind.__name__: kind for kind in (Order, Ready, PrepareFailed, Go, Stop, AttemptEnded)}


def send(channel: socket.socket, message: Message) -> None:
    """Send one message.

    Raises:
        OSError: The other end is closed.
    """
    channel.sendall(pack(message))


def pack(message: Message) -> bytes:
    """Encode one message."""
    body = marshal.dumps((type(message).__name__, *message), _FORMAT)
    return _LENGTH.pack(len(body)) + body


def receive(channel: socket.socket | int) -> Message | None:
    """Wait for one message; None at end of file.

    Args:
        channel: A socket, or the descriptor of a pipe.
    """
    fd = channel if isinstance(channel, int) else channel.fileno()
    head = _read_exactly(fd, _LENGTH.size)
    if head is None:
        return None
    body = _read_exactly(fd, _LENGTH.unpack(head)[0])
    if body is None:
        return None
    name, *fields = marshal.loads(body)
    kind = _KINDS[name]
    return kind(*fields[: len(kind._fields)])  # a newer version may send more fields


def _read_exactly(fd: int, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        try:
            chunk = os.read(fd, size - len(data))
        except ConnectionResetError:
            return None
        if not chunk:
            return None
        data += chunk
    return bytes(data)
