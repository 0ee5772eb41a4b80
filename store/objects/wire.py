"""GET requests without what boto3 does for each, straight into the reader's memory.

A tenth of its time for a small object; no copy on the way for a large one. Only what every server
answers to a plain request is understood here. All else is left to boto3, which asks again.
"""

import re
import socket
import ssl
from contextlib import suppress
from html import unescape
from io import RawIOBase
from typing import Any
from weakref import finalize

from botocore.exceptions import ClientError

from spawn.store.objects.way import Way

_HEAD_BYTES = 64 * 1024
"""More than a head and a small object together have; a larger head is odd."""
_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})(?: |$)")
_LENGTH = re.compile(r"\d{1,19}")
_PLAIN = frozenset({404, 408, 409, 412, 429, 500, 502, 503, 504})
"""What boto3 would not say better."""
_ODD = frozenset({"transfer-encoding", "content-encoding"})


class Wire:
    """Connections to where a bucket is, kept for the next request. Several threads may ask at once.

    Args:
        context: For TLS; None where the way has none.
        connect_seconds: How long a connection may take to be made.
        read_seconds: How long nothing may come.
    """

    def __init__(
        self,
        way: Way,
        context: ssl.SSLContext | None,
        *,
        connect_seconds: float,
        read_seconds: float,
    ) -> None:
        self._way = way
        self._context = context
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._idle: list[_Connection] = []
        finalize(self, _close_all, self._idle)

    def get(self, key: str, headers: dict[str, str]) -> "Reply | None":
        """Ask for an object. What it is read from has its headers.

        Returns:
            None when boto3 must ask: what came is nothing that is understood here.

        Raises:
            ClientError: The server said plainly that it will not, or cannot now.
            BotoCoreError: There are no credentials.
            OSError: The connection broke, or stood still.
        """
        request = self._way.request(key, headers)
        if request is None:
            return None
        try:
            connection = self._ask(request)
        except ssl.SSLCertVerificationError:
            return None  # boto3 will say why, or believe it
        try:
            head = connection.head()
            if head is None:
                connection.close()
                return None
            status, found, length = head
            reply = Reply(self, connection, found, length)
            if status in (200, 206) and found.get("etag", "").strip('"'):
                return reply
            said = reply.read(_HEAD_BYTES) if length <= _HEAD_BYTES else b""
        except BaseException:
            connection.close()
            raise
        reply.close()
        if status not in _PLAIN:
            return None
        text = said.decode(errors="replace")
        raise ClientError(
            {
                "Error": {"Code": _tag(text, "Code"), "Message": _tag(text, "Message")},
                "ResponseMetadata": {"HTTPStatusCode": status},
            },
            "GetObject",
        )

    def keep(self, connection: "_Connection") -> None:
        """Have a connection whose answer was read whole serve another request."""
        self._idle.append(connection)

    def _ask(self, request: bytes) -> "_Connection":
        """Send a request; returns the connection once an answer begins to come."""
        while True:
            try:
                kept = self._idle.pop()
            except IndexError:
                break
            with suppress(ConnectionError, ssl.SSLError):  # closed in between: nobody's fault
                kept.ask(request)
                return kept
        connection = _Connection(self._connect())
        connection.ask(request)
        return connection

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(
            (self._way.host, self._way.port), timeout=self._connect_seconds
        )
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_hostname=self._way.host)
            sock.settimeout(self._read_seconds)
        except BaseException:
            sock.close()
            raise
        return sock


class _Connection:
    """A connection, and what came with the head of the newest answer."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = memoryview(bytearray(_HEAD_BYTES))
        self._at = self._end = 0
        self.again = False

    def ask(self, request: bytes) -> None:
        """Send a request, and wait until an answer begins to come.

        Raises:
            ConnectionError: It is closed; nothing was answered.
        """
        try:
            self._sock.sendall(request)
            self._at, self._end = 0, self._sock.recv_into(self._buffer)
            if not self._end:
                raise ConnectionResetError("the connection was closed without an answer")
        except BaseException:
            self.close()
            raise

    def head(self) -> tuple[int, dict[str, str], int] | None:
        """Read status, headers with small names, and how long the body is; None for what is odd."""
        data = self._buffer.obj
        assert isinstance(data, bytearray)
        while (end := data.find(_END, 0, self._end)) < 0:
            if self._end == _HEAD_BYTES:
                return None
            got = self._sock.recv_into(self._buffer[self._end :])
            if not got:
                raise ConnectionResetError("the answer broke off")
            self._end += got
        self._at = end + len(_END)
        first, _, rest = bytes(data[:end]).partition(b"\r\n")
        status = _STATUS.match(first)
        headers: dict[str, str] = {}
        for line in rest.decode("latin-1").split("\r\n"):
            name, colon, value = line.partition(":")
            name = name.lower()
            if not colon or name != name.strip() or "\n" in line:
                return None
            if headers.setdefault(name, value.strip()) != value.strip() and name in _ONCE:
                return None
        length = headers.get("content-length", "")
        if status is None or headers.keys() & _ODD or not _LENGTH.fullmatch(length):
            return None
        if self._end - self._at > int(length):
            return None
        self.again = headers.get("connection", "keep-alive").lower() == "keep-alive"
        return int(status[1]), headers, int(length)

    def read(self, buffer: memoryview) -> int:
        """Read some of the body; 0 when the connection was closed."""
        if self._at < self._end:
            size = min(len(buffer), self._end - self._at)
            buffer[:size] = self._buffer[self._at : self._at + size]
            self._at += size
            return size
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        """End it."""
        self._sock.close()


_ONCE = frozenset({"content-length", "content-range", "etag"})


class Reply(RawIOBase):
    """The body of an answer, on a connection that goes back to be used again.

    Reading raises `OSError` when the connection breaks or stands still.
    """

    def __init__(
        self, wire: Wire, connection: _Connection, headers: dict[str, str], length: int
    ) -> None:
        self._wire = wire
        self._connection = connection
        self._left = length
        self.headers = headers

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `RawIOBase.readinto`."""
        if not self._left:
            return 0
        view = memoryview(buffer)
        if len(view) > self._left:
            view = view[: self._left]
        got = self._connection.read(view)
        if not got and len(view):
            raise ConnectionResetError("the answer broke off")
        self._left -= got
        return got

    def close(self) -> None:
        """Keep the connection if all was read, else end it."""
        if self.closed:
            return
        super().close()
        if self._left or not self._connection.again:
            self._connection.close()
        else:
            self._wire.keep(self._connection)


def _close_all(idle: list[_Connection]) -> None:
    for connection in idle:
        connection.close()


def _tag(xml: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]*)</{name}>", xml)
    return unescape(found[1]) if found else ""
