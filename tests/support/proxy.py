"""An HTTP proxy on loopback between a runner and its object store, with faults chosen by the test.

Requests are forwarded unchanged, including `Host`, so that signatures stay valid. Faults are rules
that may be added and removed while requests are in progress; the first matching rule applies.
"""

import http.client
import random
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler
from threading import Event, Lock, Thread
from typing import Literal
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from tests.support.s3 import free_port

_Said = Literal["500", "503", "401", "403", "404", "412", "expired"]
Fault = _Said | Literal["reset", "swallow", "lose", "hold", "late", "ahead", "odd"]
"""A fault of a request.

`500` to `412`: that response, no effect. `expired`: an expired session token. `reset`: the
connection is reset, no effect. `swallow`: no effect and no response. `lose`: the request takes
effect, and the connection is reset instead of a response. `hold`: forwarded when the rule is
removed. `late`: forwarded after `seconds`. `ahead`: the response's `Date` is `seconds` later, like
a server clock that is ahead. `odd`: the request takes effect, and the rule's `raw` creates the
bytes of another response, after which the connection is closed.
"""
Answer = tuple[int, str, list[tuple[str, str]], bytes]
"""Status, reason, headers and body."""
WRITES = ("PUT", "POST", "DELETE")

_CODES = {
    "500": (500, "InternalError"),
    "503": (503, "SlowDown"),
    "401": (401, "AccessDenied"),
    "403": (403, "AccessDenied"),
    "404": (404, "NoSuchKey"),
    "412": (412, "PreconditionFailed"),
    "expired": (400, "ExpiredToken"),
}
_ERROR = "<Error><Code>{}</Code><Message>as told</Message></Error>"
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER that makes `close` send RST."""


class Rule:
    """A fault and the requests that it affects; see `Proxy.fault`."""

    def __init__(
        self,
        fault: Fault,
        methods: tuple[str, ...],
        key: str,
        share: float,
        seconds: float,
        credential: str,
        raw: Callable[[Answer], bytes] | None,
    ) -> None:
        self.fault = fault
        self.seconds = seconds
        self.raw = raw
        self.gone = Event()
        self.hits = 0
        self._methods = methods
        self._key = re.compile(key)
        self._share = share
        self._credential = credential

    def fits(self, method: str, key: str, authorization: str, chance: float) -> bool:
        """Whether a request meets the fault."""
        meant = not self._methods or method in self._methods
        meant = meant and self._credential in authorization
        return meant and self._key.search(key) is not None and chance < self._share


class ProxiedRequest(Struct, frozen=True):
    """A received request. `key` has no bucket; `at` is the UNIX time of the server's response,
    `seconds` after the request; `status` is that of the response, or None if the request was not
    forwarded.
    """

    at: float
    method: str
    key: str
    status: int | None
    fault: str = ""
    seconds: float = 0.0


class Proxy:
    """The endpoint of a runner's store, with faults.

    Args:
        server: The store's own endpoint.
        seed: For the random choices of rules.
    """

    def __init__(self, server: str, seed: int = 0) -> None:
        self._server = urlsplit(server).netloc
        self._chance = random.Random(seed)
        self._rules: list[Rule] = []
        self._lock = Lock()
        self._connections: set[socket.socket] = set()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", free_port()))  # not 0: the port must survive an outage
        self._up = Event()
        self._closed = False
        self.asked: list[ProxiedRequest] = []
        """Every request so far, in the order of their ends."""
        self.endpoint = "http://{}:{}".format(*self._listener.getsockname())
        self.up()
        Thread(target=self._accept, name="proxy", daemon=True).start()

    @contextmanager
    def fault(
        self,
        fault: Fault,
        *methods: str,
        key: str = "",
        share: float = 1.0,
        seconds: float = 0.0,
        credential: str = "",
        raw: Callable[[Answer], bytes] | None = None,
    ) -> Iterator[Rule]:
        """Apply a fault to requests during the block.

        Args:
            methods: Affected methods; all if absent.
            key: A regular expression to search for in the key.
            share: Share of matching requests that are affected.
            credential: Access key of the affected clients; empty for all.
            raw: For `odd`: creates a response from the server's own.
        """
        rule = Rule(fault, methods, key, share, seconds, credential, raw)
        with self._lock:
            self._rules.append(rule)
        try:
            yield rule
        finally:
            with self._lock:
                self._rules.remove(rule)
            rule.gone.set()

    def seed(self, seed: int) -> None:
        """Restart the random choices."""
        self._chance.seed(seed)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Be unreachable during the block: connections are cut, new ones refused."""
        self.down()
        try:
            yield
        finally:
            self.up()

    def down(self) -> None:
        """Cut all connections and refuse new ones; see `outage`."""
        self._up.clear()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            connections = list(self._connections)
        for each in connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def up(self) -> None:
        """Accept connections again."""
        self._listener.listen(64)
        self._up.set()

    def close(self) -> None:
        """Stop, and release held requests."""
        self._closed = True
        for rule in self._rules:
            rule.gone.set()
        self.down()
        self._up.set()
        self._listener.close()

    def puts(self, key: str) -> list[ProxiedRequest]:
        """Return the successful writes with keys that match a regular expression."""
        found = re.compile(key)
        return [
            each
            for each in self.asked
            if each.method == "PUT" and each.status == 200 and found.search(each.key)
        ]

    # threads of connections

    def _accept(self) -> None:
        while True:
            self._up.wait()
            if self._closed:
                return
            try:
                connection, address = self._listener.accept()
            except OSError:
                continue
            with self._lock:
                self._connections.add(connection)
            Thread(target=self._serve, args=(connection, address), daemon=True).start()

    def _serve(self, connection: socket.socket, address: tuple[str, int]) -> None:
        try:
            with suppress(OSError, http.client.HTTPException):  # one side has disconnected
                _Handler(connection, address, self)
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    def rule_for(self, method: str, key: str, authorization: str) -> Rule | None:
        """Return the fault of a request, if any."""
        with self._lock:
            for rule in self._rules:
                if rule.fits(method, key, authorization, self._chance.random()):
                    rule.hits += 1
                    return rule
        return None

    def forward(self, handler: "_Handler", body: bytes) -> Answer:
        """Forward a request; returns the response's status, reason, headers and body."""
        upstream = http.client.HTTPConnection(self._server, timeout=60)
        try:
            upstream.putrequest(
                handler.command, handler.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in handler.headers.items():
                if name.lower() not in ("expect", "connection"):
                    upstream.putheader(name, value)
            upstream.putheader("Connection", "close")
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            return answer.status, answer.reason, answer.getheaders(), answer.read()
        finally:
            upstream.close()


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: Proxy  # type: ignore[assignment]

    def __init__(self, connection: socket.socket, address: tuple[str, int], proxy: Proxy) -> None:
        self._proxy = proxy
        super().__init__(connection, address, proxy)  # type: ignore[arg-type]

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the client died meanwhile
            self.close_connection = True
            return
        _, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        rule = self._proxy.rule_for(self.command, key, self.headers.get("Authorization", ""))
        fault = rule.fault if rule is not None else ""
        self._status: int | None = None
        self._answered_at = 0.0
        came = time.time()
        try:
            if rule is None:
                self._pass(body)
            elif rule.fault in _CODES:
                status, code = _CODES[rule.fault]
                xml = [("Content-Type", "application/xml")]
                self._answer(status, "", xml, _ERROR.format(code).encode())
            elif rule.raw is not None:
                said = rule.raw(self._ask(body))
                self.close_connection = True
                with suppress(OSError):
                    self.wfile.write(said)
            elif rule.fault == "reset":
                self._tear()
            elif rule.fault == "swallow":
                rule.gone.wait()
                self._tear()
            elif rule.fault == "lose":
                self._ask(body)
                self._tear()
            elif rule.fault == "hold":
                rule.gone.wait()
                self._pass(body)
            elif rule.fault == "late":
                rule.gone.wait(rule.seconds)
                self._pass(body)
            else:
                self._pass(body, ahead=rule.seconds)
        finally:
            at = self._answered_at or time.time()
            self._proxy.asked.append(
                ProxiedRequest(at, self.command, key, self._status, fault, at - came)
            )

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _any  # noqa: N815

    def _ask(self, body: bytes) -> Answer:
        answer = self._proxy.forward(self, body)
        self._status, self._answered_at = answer[0], time.time()
        return answer

    def _pass(self, body: bytes, *, ahead: float = 0.0) -> None:
        status, reason, headers, answer = self._ask(body)
        if ahead:
            headers = [
                (name, _later(value, ahead) if name.lower() == "date" else value)
                for name, value in headers
            ]
        with suppress(OSError):  # the client has given up; its request has taken effect
            self._answer(status, reason, headers, answer)

    def _answer(
        self, status: int, reason: str, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        self.send_response_only(status, reason or None)
        given = {name.lower() for name, _ in headers}
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = next((v for n, v in headers if n.lower() == "content-length"), str(len(body)))
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
        if "date" not in given:
            self.send_header("Date", formatdate(usegmt=True))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _tear(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)

    def log_message(self, *_: object) -> None:  # type: ignore[override]
        """Log nothing: requests are recorded in `Proxy.asked`."""


def _later(date: str, seconds: float) -> str:
    return formatdate(parsedate_to_datetime(date).timestamp() + seconds, usegmt=True)


@contextmanager
def proxy(server: str, seed: int = 0) -> Iterator[Proxy]:
    """A proxy in front of a server."""
    made = Proxy(server, seed)
    try:
        yield made
    finally:
        made.close()
