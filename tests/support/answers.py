"""A small HTTP server on loopback that gives the test's answers and records its requests."""

import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from msgspec import Struct
from tests.support.s3 import Server


class RecordedRequest(Struct, frozen=True):
    """A received request; header names are lower-case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class Answer(Struct, frozen=True):
    """An answer. `promised` is a false Content-Length."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = {}
    promised: int | None = None


class RecordingServer(Struct, frozen=True):
    """The server, and the requests so far."""

    server: Server
    asked: list[RecordedRequest]

    @property
    def endpoint(self) -> str:
        """URL of the server."""
        return self.server.endpoint


def error(status: int, code: str, message: str = "said the server") -> Answer:
    """An error in S3's format."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml"})


def forward(server: Server, asked: RecordedRequest) -> Answer:
    """Forward a request to another server; returns its answer."""
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=30)
    try:
        path = f"{asked.path}?{asked.query}" if asked.query else asked.path
        connection.request(asked.method, path, asked.body, asked.headers)
        answer = connection.getresponse()
        body = answer.read()
        kept = ("Content-Type", "ETag", "Last-Modified")
        headers = {name: answer.headers[name] for name in kept if name in answer.headers}
        return Answer(answer.status, body, headers)
    finally:
        connection.close()


@contextmanager
def answering(answer: Callable[[RecordedRequest], Answer]) -> Iterator[RecordingServer]:
    """Serve until the end of the block."""
    asked: list[RecordedRequest] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            url = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(length)
            request = RecordedRequest(self.command, url.path, url.query, headers, body)
            asked.append(request)
            said = answer(request)
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            promised = len(said.body) if said.promised is None else said.promised
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body)
            self.close_connection = said.promised is not None

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Log nothing: requests are recorded."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.daemon_threads = True
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield RecordingServer(Server(f"http://127.0.0.1:{httpd.server_port}"), asked)
        finally:
            httpd.shutdown()
            thread.join()
