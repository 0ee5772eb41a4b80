"""A persistent HTTP connection to a feed: GET only, with limits on time and size."""

import socket
import time
from collections.abc import Mapping

from msgspec import Struct

MAX_HEAD = 16 * 1024
MAX_BODY = 64 * 1024 * 1024
"""A feed's answers are smaller."""
_CHUNK = 256 * 1024


class Answer(Struct, frozen=True):
    """An HTTP response; header names are lowercase."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class InvalidAnswer(Exception):
    """The response is not one that a feed sends."""


class FeedConnection:
    """A connection to a feed.

    Args:
        seconds: Timeout for connecting.

    Raises:
        OSError: The connection failed.
    """

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self._sock = socket.create_connection((host, port), seconds)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = bytearray()
        self.sent = 0
        self.received = 0
        """Bytes received so far, as `sent` counts bytes sent."""

    def get(self, target: str, seconds: float) -> Answer:
        """Send a GET request and return the response.

        Args:
            seconds: Timeout for the whole head, and then for each read of the body.

        Raises:
            OSError: The connection was lost or timed out.
            InvalidAnswer: The response is not one that a feed sends.
        """
        request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        self._sock.settimeout(seconds)
        self._sock.sendall(request)
        self.sent += len(request)
        status, headers = self._head(time.monotonic() + seconds)
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdecimal() and len(length) < 12):
            raise InvalidAnswer("its answer has no valid Content-Length")
        size = int(length)
        if size > MAX_BODY:
            raise InvalidAnswer(f"its answer has {size} bytes; the limit is {MAX_BODY}")
        self._sock.settimeout(seconds)
        while len(self._rest) < size:
            self._receive()
        body = bytes(memoryview(self._rest)[:size])
        del self._rest[:size]
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, body)

    @property
    def is_open(self) -> bool:
        """Whether the connection is open on this side."""
        return self._sock.fileno() >= 0

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def _head(self, until: float) -> tuple[int, dict[str, str]]:
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            if len(self._rest) > MAX_HEAD or not b"HTTP/1.1 ".startswith(self._rest[:9]):
                raise InvalidAnswer(f"its answer begins with {bytes(self._rest[:40])!r}")
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
            self._receive()
        first, *lines = self._rest[:end].decode("latin-1").split("\r\n")
        del self._rest[: end + 4]
        words = first.split(" ", 2)
        if len(words) < 2 or words[0] != "HTTP/1.1" or not words[1].isdecimal():
            raise InvalidAnswer(f"its answer begins with {first[:40]!r}")
        pairs = (line.partition(":") for line in lines)
        return int(words[1]), {name.lower(): value.strip() for name, _, value in pairs}

    def _receive(self) -> None:
        data = self._sock.recv(_CHUNK)
        if not data:
            raise ConnectionResetError("it closed the connection")
        self.received += len(data)
        self._rest += data
