"""One GET after another over one connection, as the feed answers them: bounded in time and size."""

import socket
import time
from collections.abc import Mapping

from msgspec import Struct

MAX_HEAD = 16 * 1024
MAX_BODY = 64 * 1024 * 1024
"""More is no answer of a feed."""
_CHUNK = 256 * 1024


class Answer(Struct, frozen=True):
    """What came back; header names are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Foreign(Exception):
    """What came back is not what a feed says."""


class Connection:
    """A connection.

    Args:
        seconds: How long connecting may take.

    Raises:
        OSError: There is nobody.
    """

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self._sock = socket.create_connection((host, port), seconds)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = bytearray()
        self.sent = 0
        self.received = 0
        """Bytes, for who wants to know what a question costs."""

    def get(self, target: str, seconds: float) -> Answer:
        """Ask for something.

        Args:
            seconds: How long nothing may come. A feed that says a byte now and then is none: a
                head must come whole within that time.

        Raises:
            OSError: The connection is gone, or nothing came in time.
            Foreign: What came is no answer of a feed.
        """
        request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        self._sock.settimeout(seconds)
        self._sock.sendall(request)
        self.sent += len(request)
        status, headers = self._head(time.monotonic() + seconds)
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdecimal() and len(length) < 12):
            raise Foreign("it does not say how long its answer is")
        size = int(length)
        if size > MAX_BODY:
            raise Foreign(f"its answer would have {size} bytes")
        self._sock.settimeout(seconds)
        while len(self._rest) < size:
            self._more()
        body = bytes(memoryview(self._rest)[:size])
        del self._rest[:size]
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, body)

    @property
    def is_open(self) -> bool:
        """Whether it can be asked something."""
        return self._sock.fileno() >= 0

    def close(self) -> None:
        """Let it go."""
        self._sock.close()

    def _head(self, until: float) -> tuple[int, dict[str, str]]:
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            if len(self._rest) > MAX_HEAD or not b"HTTP/1.1 ".startswith(self._rest[:9]):
                raise Foreign(f"it begins with {bytes(self._rest[:40])!r}")
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
            self._more()
        first, *lines = self._rest[:end].decode("latin-1").split("\r\n")
        del self._rest[: end + 4]
        words = first.split(" ", 2)
        if len(words) < 2 or words[0] != "HTTP/1.1" or not words[1].isdecimal():
            raise Foreign(f"it begins with {first[:40]!r}")
        pairs = (line.partition(":") for line in lines)
        return int(words[1]), {name.lower(): value.strip() for name, _, value in pairs}

    def _more(self) -> None:
        data = self._sock.recv(_CHUNK)
        if not data:
            raise ConnectionResetError("it closed the connection")
        self.received += len(data)
        self._rest += data
