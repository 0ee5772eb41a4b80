"""What a runner, a supervisor and a command at the gate say to each other.

Each message is four bytes of length, big-endian, and the message's name and fields in Python's own
`marshal` format, of which version 4 is read by every Python since 3.4: an old supervisor may be
asked by a new runner. Those at the other end are processes of ours, of our own user.
"""

import marshal
import os
import socket
import struct
from typing import Any, NamedTuple

from spawn.core.exit import StopCause

_LENGTH = struct.Struct(">I")
_FORMAT = 4


class Order(NamedTuple):
    """To a supervisor: prepare this attempt and hold its command behind the gate.

    `timeout` and `kill_grace` are seconds; `environment` is the command's, whole.
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


class Unable(NamedTuple):
    """From a supervisor: the attempt could not be prepared, and nothing of it runs."""

    why: str


class Go(NamedTuple):
    """To a supervisor: the attempt is durable, open the gate."""


class Stop(NamedTuple):
    """To a supervisor: end the attempt for this cause; `grace` seconds from TERM to KILL."""

    cause: StopCause
    grace: float


class Over(NamedTuple):
    """From a supervisor: the attempt is over, nothing of it runs, and its record says the same."""

    exit: tuple[Any, ...]


Message = Order | Ready | Unable | Go | Stop | Over

_KINDS = {kind.__name__: kind for kind in (Order, Ready, Unable, Go, Stop, Over)}


def send(channel: socket.socket, message: Message) -> None:
    """Send one message.

    Raises:
        OSError: Nobody is at the other end.
    """
    channel.sendall(pack(message))


def pack(message: Message) -> bytes:
    """The bytes of one message."""
    body = marshal.dumps((type(message).__name__, *message), _FORMAT)
    return _LENGTH.pack(len(body)) + body


def receive(channel: socket.socket | int) -> Message | None:
    """Wait for one message; None when the other end is gone.

    Args:
        channel: A socket, or the descriptor of a pipe.
    """
    fd = channel if isinstance(channel, int) else channel.fileno()
    head = _exactly(fd, _LENGTH.size)
    if head is None:
        return None
    body = _exactly(fd, _LENGTH.unpack(head)[0])
    if body is None:
        return None
    name, *fields = marshal.loads(body)
    kind = _KINDS[name]
    return kind(*fields[: len(kind._fields)])  # a newer end may say more


def _exactly(fd: int, size: int) -> bytes | None:
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
