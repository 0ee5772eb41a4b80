"""Real feeds of a `World`'s queues, and clients of several kinds."""

import contextlib
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.queues import SECONDS, World

from spawn.cli.sources.feed import FeedQueue
from spawn.cli.sources.open_feed import open_feed
from spawn.store.feed.answers import PROTOCOL, SERVICE
from spawn.store.feed.client import FeedClient
from spawn.store.queue_dir.paths import Roots

NAME = "i-0123456789abcdef0"
"""Name of the machine in these tests."""


class Feed:
    """A running `spawn queue feed` of a world, on its own port.

    Args:
        port: 0 for a free one.
    """

    def __init__(self, world: World, port: int = 0) -> None:
        self.process = world.start("feed", "--port", str(port), cwd="/")
        assert self.process.stderr is not None
        said = self.process.stderr.readline()
        found = re.search(r" on 127\.0\.0\.1:(\d+)\.$", said)
        assert found, said + self.process.stderr.read()
        self.port = int(found[1])

    @property
    def pid(self) -> int:
        """Process id of the feed."""
        return int(self.process.pid)

    def address(self) -> tuple[str, int]:
        """Address of the feed."""
        return "127.0.0.1", self.port

    def connect(self) -> socket.socket:
        """Open a connection to the feed."""
        sock = socket.create_connection(self.address(), SECONDS)
        sock.settimeout(SECONDS)
        return sock

    def raw(self, data: bytes) -> bytes:
        """Send bytes, and read until the feed closes the connection."""
        with self.connect() as sock:
            sock.sendall(data)
            return until_closed(sock)

    def get(self, target: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
        """Send a GET as any client does; returns status, headers and body."""
        lines = [f"GET {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
        return parse_response(self.raw("\r\n".join((*lines, "", "")).encode()))

    def json(self, target: str) -> Any:
        """Send a GET and return its JSON; of a page, the first line."""
        return json.loads(self.get(target)[2].partition(b"\n")[0])

    def client(self) -> FeedClient:
        """Return the product's client, for this feed."""
        return FeedClient(self.address, NAME)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop the feed; returns its exit code."""
        if self.process.poll() is None:
            os.kill(self.pid, number)
        return int(self.process.wait(SECONDS))

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Return the memory in bytes."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", text)[0]) * 1024


@contextlib.contextmanager
def feed_of(world: World) -> Iterator[Feed]:
    """Serve a world's queues during the block, and stop gracefully."""
    feed = Feed(world)
    try:
        yield feed
        assert feed.process.poll() is None, "the feed has exited by itself"
    finally:
        code = feed.stop()
    assert code == 0, feed.process.stderr.read()


class Laptop:
    """A client machine: its cache, and the messages it got.

    Args:
        folder: For its cache.
        where: Returns the feed's address.
    """

    def __init__(self, folder: Path, where: Callable[[], tuple[str, int]]) -> None:
        self.roots = Roots(folder / "state", folder / "log", folder / "cache")
        self.where = where
        self.said: list[str] = []

    def open(self, queue: str | None = None) -> FeedQueue:
        """Open a queue as a new command does."""
        client = FeedClient(self.where, NAME)
        return open_feed(self.roots, client, queue=queue, say=self.said.append)


def until_closed(sock: socket.socket) -> bytes:
    """Read until the other side closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := sock.recv(65536):
            data += more
    return data


def parse_response(data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Parse an HTTP response; returns status, headers and body."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, value in pairs}, body


def answered(body: bytes, status: str = "200 OK") -> bytes:
    """An HTTP response of a program that is not a feed of this version."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def hello(**fields: Any) -> bytes:
    """A `hello` of a feed, or of a program that imitates one."""
    usual = {
        "service": SERVICE,
        "version": "9.9.9",
        "protocol": PROTOCOL,
        "oldest": PROTOCOL,
        "uid": 1000,
        "root": "/var/lib/spawn-queue",
    }
    return answered(json.dumps({**usual, **fields}).encode())


@contextlib.contextmanager
def program(*says: bytes | None, first: bytes = b"") -> Iterator[tuple[str, int]]:
    """A program on a port that gives one answer after another. None closes the connection,
    right after the previous answer if there is one.

    Args:
        first: Sent before any request.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = list(says)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    with sock, contextlib.suppress(OSError):
                        sock.sendall(first)
                        while sock.recv(65536):
                            said = left.pop(0) if left else None
                            if said is None:
                                break
                            sock.sendall(said)
                            if left and left[0] is None:
                                left.pop(0)
                                break

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
