"""What a runner and a supervisor say to each other, and how it crosses a socket.

Each message is four bytes of length, big-endian, and a msgpack struct tagged with its name.
"""

import socket
import struct

import msgspec
from msgspec import Struct

from spawn.core.decide import StopCause

_LENGTH = struct.Struct(">I")


class Order(Struct, frozen=True, kw_only=True, tag=True):
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


class Ready(Struct, frozen=True, tag=True):
    """From a supervisor: the command waits at the gate."""

    pid: int
    supervisor: int
    log_offset: int


class Unable(Struct, frozen=True, tag=True):
    """From a supervisor: the attempt could not be prepared, and nothing of it runs."""

    why: str


class Go(Struct, frozen=True, tag=True):
    """To a supervisor: the attempt is durable, open the gate."""


class Stop(Struct, frozen=True, tag=True):
    """To a supervisor: end the attempt for this cause; `grace` seconds from TERM to KILL."""

    cause: StopCause
    grace: float


Message = Order | Ready | Unable | Go | Stop

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def send(channel: socket.socket, message: Message) -> None:
    """Send one message.

    Raises:
        OSError: Nobody is at the other end.
    """
    body = _encoder.encode(message)
    channel.sendall(_LENGTH.pack(len(body)) + body)


def receive(channel: socket.socket) -> Message | None:
    """Wait for one message; None when the other end is gone."""
    head = _exactly(channel, _LENGTH.size)
    if head is None:
        return None
    body = _exactly(channel, _LENGTH.unpack(head)[0])
    return None if body is None else _decoder.decode(body)


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        try:
            chunk = channel.recv(size - len(data))
        except ConnectionResetError:
            return None
        if not chunk:
            return None
        data += chunk
    return bytes(data)
