"""One client: what it has sent, what it waits for, what it still has to be sent."""

import socket
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE

from spawn.core.feed.address import Ask
from spawn.runner.feed.request import END, MAX_HEAD, BadRequest, Request, parse
from spawn.runner.feed.response import Response, encode

IDLE_SECONDS = 90.0
"""How long a connection may be silent."""
HEAD_SECONDS = 10.0
"""How long a request may take to come, from its first byte on."""
LINGER_SECONDS = 2.0
"""How long a client may take to read why it was refused."""
WRITE_SECONDS = 30.0
SLOWEST = 4096
"""Bytes a second that a client must take of an answer, beyond its `WRITE_SECONDS`."""
_CHUNK = 64 * 1024


class Connection:
    """A client's connection.

    Args:
        now: By the loop's clock, seconds.
        serves: Whether it is to be answered at all.
    """

    def __init__(self, sock: socket.socket, now: float, *, serves: bool) -> None:
        self.sock = sock
        self.serves = serves
        self.ask: Ask | None = None
        """What it waits for."""
        self.first = True
        """Whether nobody has answered that yet, not even that there is no news."""
        self.asked_at = self.ask_until = 0.0
        self.deadline = now + IDLE_SECONDS
        """When it is closed, unless something happens before."""
        self.closed = False
        self._inbox = bytearray()
        self._out = memoryview(b"")
        self._keep = True
        self._lingers = False

    @property
    def events(self) -> int:
        """What it is watched for; nothing more is read from a client that has sent too much."""
        wanted = EVENT_READ if len(self._inbox) < MAX_HEAD or self._lingers else 0
        return wanted | (EVENT_WRITE if self._out else 0)

    @property
    def idle(self) -> bool:
        """Whether it has nothing under way."""
        return not (self._inbox or self._out or self.ask is not None or self._lingers)

    def read(self, now: float) -> None:
        """Take what has come."""
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
        """Take the next request, once it is there and the one before is answered.

        Raises:
            BadRequest: What is there is none.
        """
        if self._out or self.ask is not None or self._lingers or not self.serves:
            return None
        head, end, rest = self._inbox.partition(END)
        if not end:
            if len(self._inbox) >= MAX_HEAD:
                raise BadRequest(431, "the request is too long")
            return None
        self._inbox = rest
        found = parse(bytes(head))
        self._keep = found.keep
        return found

    def wait(self, ask: Ask, now: float, seconds: float) -> None:
        """Let it wait for an answer, for news at most so long."""
        self.ask, self.first = ask, True
        self.asked_at, self.ask_until = now, now + seconds
        self.deadline = float("inf")

    def send(self, response: Response, now: float, *, keep: bool = True) -> None:
        """Send an answer."""
        self.ask = None
        self._keep = self._keep and keep
        data = encode(response, keep=self._keep)
        self._out = memoryview(data)
        self.deadline = now + WRITE_SECONDS + len(data) / SLOWEST
        self.write(now)

    def write(self, now: float) -> None:
        """Send what the client takes; then wait for its next request, or for it to go."""
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
            # Closed with something unread, what was sent would be lost.
            self._lingers = True
            self.deadline = now + LINGER_SECONDS
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
