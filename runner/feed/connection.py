"""The state of one client's connection: input, pending request, output and deadline."""

import socket
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE

from spawn.runner.feed.request import (
    END,
    MAX_HEAD,
    BadRequest,
    Request,
    Response,
    encode,
    parse_request,
)
from spawn.store.feed.requests import Ask

IDLE_SECONDS = 90.0
"""Maximum time between requests."""
HEAD_SECONDS = 10.0
"""Maximum time to receive a request, from its first byte."""
LINGER_SECONDS = 2.0
"""Time for a client to read the last answer before the connection is closed."""
WRITE_SECONDS = 30.0
SLOWEST = 4096
"""Bytes per second that a client must read of an answer, after `WRITE_SECONDS`."""
_CHUNK = 64 * 1024


class ClientConnection:
    """A client's connection.

    Args:
        now: Time of the loop's monotonic clock, in seconds.
        serves: Whether requests of this client are answered.
    """

    def __init__(self, sock: socket.socket, now: float, *, serves: bool) -> None:
        self.sock = sock
        self.serves = serves
        self.ask: Ask | None = None
        """The pending request."""
        self.first = True
        """Whether the pending request has not been evaluated yet."""
        self.asked_at = self.ask_until = 0.0
        self.deadline = now + IDLE_SECONDS
        """When the connection is closed."""
        self.closed = False
        self._inbox = bytearray()
        self._out = memoryview(b"")
        self._keep = True
        self._lingers = False

    @property
    def events(self) -> int:
        """The selector events to watch; a full inbox is not read further."""
        events = EVENT_READ if len(self._inbox) < MAX_HEAD or self._lingers else 0
        return events | (EVENT_WRITE if self._out else 0)

    @property
    def idle(self) -> bool:
        """Whether no request is pending or being received or answered."""
        return not (self._inbox or self._out or self.ask is not None or self._lingers)

    def read(self, now: float) -> None:
        """Receive available input."""
        try:
            data = self.sock.recv(_CHUNK if self._lingers else MAX_HEAD)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.closed = True
        elif not self._lingers:
            if not self._inbox and self.ask is None and not self._out:
                self.deadline = now + HEAD_SECONDS
            self._inbox += data

    def request(self) -> Request | None:
        """Return the next complete request, or None; only after the previous one is answered.

        Raises:
            BadRequest: The input is not a valid request.
        """
        if self._out or self.ask is not None or self._lingers or not self.serves:
            return None
        head, end, rest = self._inbox.partition(END)
        if not end:
            if len(self._inbox) >= MAX_HEAD:
                raise BadRequest(431, "the request is too long")
            return None
        self._inbox = rest
        found = parse_request(bytes(head))
        self._keep = found.keep
        return found

    def wait(self, ask: Ask, now: float, seconds: float) -> None:
        """Set the pending request; it waits at most `seconds` for news."""
        self.ask, self.first = ask, True
        self.asked_at, self.ask_until = now, now + seconds
        self.deadline = float("inf")

    def send(self, response: Response, now: float, *, keep: bool = True) -> None:
        """Answer the pending request."""
        self.ask = None
        self._keep = self._keep and keep
        data = encode(response, keep=self._keep)
        self._out = memoryview(data)
        self.deadline = now + WRITE_SECONDS + len(data) / SLOWEST
        self.write(now)

    def write(self, now: float) -> None:
        """Send as much output as possible; then wait for the next request or for the close."""
        if not self._out:
            return
        while self._out:
            try:
                self._out = self._out[self.sock.send(self._out) :]
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return
        if self._keep:
            self.deadline = now + (HEAD_SECONDS if self._inbox else IDLE_SECONDS)
        elif not self._lingers:
            # Closing a socket with unread input resets it, and the client loses the answer.
            self._lingers = True
            self.deadline = now + LINGER_SECONDS
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
