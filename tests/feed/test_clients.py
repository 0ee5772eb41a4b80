"""Malicious and slow clients neither block others nor fill memory."""

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.feeds import Feed, parse_response, until_closed
from tests.support.queues import SECONDS, World, job
from tests.support.wait import wait_until

from spawn.core.domain import chain
from spawn.runner.feed import connection, server
from spawn.runner.feed.request import MAX_HEAD
from spawn.store.feed.requests import PageRequest

GET = b"GET /v1/hello HTTP/1.1\r\n"
HOST = b"Host: 127.0.0.1\r\n"


def _status(feed: Feed, data: bytes) -> int:
    return parse_response(feed.raw(data))[0]


def _serves(feed: Feed) -> None:
    assert feed.json("/v1/hello")["service"] == "spawn-feed"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT"])
def test_only_get_is_allowed(feed: Feed, method: str) -> None:
    data = f"{method} /v1/hello HTTP/1.1\r\n".encode() + HOST + b"\r\n"
    assert _status(feed, data) == 405


@pytest.mark.parametrize(
    "host",
    [b"evil.example", b"evil.example:27296", b"127.0.0.1.evil.example", b"", b"127.0.0.1@evil"],
)
def test_a_foreign_host_name_is_rejected(feed: Feed, host: bytes) -> None:
    assert _status(feed, GET + b"Host: " + host + b"\r\n\r\n") == 421


def test_a_request_without_a_host_or_with_two_is_rejected(feed: Feed) -> None:
    assert _status(feed, GET + b"\r\n") == 421
    assert _status(feed, GET + HOST + b"Host: evil.example\r\n\r\n") == 400


@pytest.mark.parametrize("host", [b"localhost", b"LOCALHOST:1", b"127.0.0.1:40000", b"[::1]:5"])
def test_any_loopback_name_and_port_is_accepted(feed: Feed, host: bytes) -> None:
    assert _status(feed, GET + b"Host: " + host + b"\r\nConnection: close\r\n\r\n") == 200


def test_a_request_from_a_web_page_is_rejected(feed: Feed) -> None:
    assert _status(feed, GET + HOST + b"Origin: https://evil.example\r\n\r\n") == 403


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"\r\n", 400),
        (b"GET /v1/hello\r\n", 400),
        (b"GET  /v1/hello HTTP/1.1\r\n", 400),
        (b"GET /v1/hello HTTP/2.0\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400),
        (b"GET /v1/\x00 HTTP/1.1\r\n", 400),
        (GET + HOST + b"no colon\r\n", 400),
        (GET + HOST + b"Folded: a\r\n b\r\n", 400),
        (GET + HOST + b"Space : a\r\n", 400),
        (GET + HOST + b"Content-Length: 5\r\n", 400),
        (GET + HOST + b"Transfer-Encoding: chunked\r\n", 400),
        (GET + HOST + b"A: " + b"x" * 3000 + b"\r\n", 431),
        (GET + HOST + b"A: b\r\n" * 40, 431),
        (b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\n", 431),
    ],
)
def test_an_invalid_request_is_rejected(feed: Feed, head: bytes, status: int) -> None:
    assert _status(feed, head + b"\r\n") == status
    _serves(feed)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/v2/hello",
        "/v1/queues/",
        "/v1/queues/..",
        "/v1/queues/q/../../etc",
        "/v1/queues/%2e%2e",
        "/v1/queues/local",
        "/v1/queues/q/output/a/1/lock",
        "/v1/queues/q/output/../1/stdout.log",
        "/v1/queues/q/output/a/1/../../../events.db",
    ],
)
def test_an_unknown_path_is_not_found(world: World, feed: Feed, target: str) -> None:
    world.queue(job("a", "true")).run("--no-s3")
    assert feed.get(target)[0] == 404


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=1e3", "hash=zz", "wait=1.5"])
def test_an_invalid_parameter_is_rejected(world: World, feed: Feed, query: str) -> None:
    world.queue(job("a", "true")).run("--no-s3")
    assert feed.get(f"/v1/queues/q?{query}")[0] == 400


def test_unknown_parameters_and_headers_are_ignored(world: World, feed: Feed) -> None:
    world.queue(job("a", "true")).run("--no-s3")
    status, _, body = feed.get("/v1/queues/q?colour=blue&after=0", "X-New: 1")
    assert (status, len(body.splitlines())) == (200, 1 + 5)


def test_an_endless_head_is_rejected(feed: Feed) -> None:
    assert _status(feed, b"x" * MAX_HEAD) == 431
    assert _status(feed, GET + b"a" * (MAX_HEAD - len(GET))) == 431


def test_pipelined_requests_are_answered_in_order(world: World, feed: Feed) -> None:
    world.queue(job("a", "true")).run("--no-s3")
    asked = [b"/v1/hello", b"/v1/queues", b"/v1/nothing", b"/v1/queues/q"]
    last = b"GET /v1/hello HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"
    data = feed.raw(
        b"".join(b"GET " + it + b" HTTP/1.1\r\n" + HOST + b"\r\n" for it in asked) + last
    )
    assert re.findall(rb"HTTP/1\.1 (\d+) ", data) == [b"200", b"200", b"404", b"200", b"200"]


def test_a_request_is_read_byte_by_byte(feed: Feed) -> None:
    with feed.connect() as sock:
        for byte in GET + HOST + b"Connection: close\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert parse_response(until_closed(sock))[0] == 200


@pytest.fixture
def crowd(feed: Feed) -> Iterator[contextlib.ExitStack]:
    """Keeps connections open until the end of the test."""
    with contextlib.ExitStack() as stack:
        yield stack


def test_clients_with_incomplete_requests_block_others_only_for_head_seconds(
    feed: Feed, crowd: contextlib.ExitStack
) -> None:
    assert connection.HEAD_SECONDS <= 10
    held = [crowd.enter_context(feed.connect()) for _ in range(server.MAX_CLIENTS)]
    for sock in held:
        sock.sendall(b"GET /v1")
    wait_until(lambda: _unread(feed) == [0] * len(held), what="the feed has read all of them")
    answers: list[int] = []

    def served() -> bool:
        answers.append(feed.get("/v1/hello")[0])
        return answers[-1] == 200

    wait_until(served, seconds=SECONDS)
    assert set(answers) == {200, 503}
    assert feed.memory() < 60e6


def _unread(feed: Feed) -> list[int]:
    """Return the number of bytes that the feed has not read, for each connection."""
    lines = Path(f"/proc/{feed.pid}/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    established = [
        each for each in fields if each[1].endswith(f":{feed.port:04X}") and each[3] == "01"
    ]
    return [int(each[4].partition(":")[2], 16) for each in established]


def test_an_idle_connection_is_closed_for_a_new_client(
    feed: Feed, crowd: contextlib.ExitStack
) -> None:
    held = [crowd.enter_context(feed.connect()) for _ in range(server.MAX_CLIENTS)]
    held[0].sendall(GET + HOST + b"\r\n")
    assert held[0].recv(100)
    _serves(feed)
    assert held[1].recv(100) == b"", "the connection that was idle for longest"


def test_a_client_that_does_not_read_does_not_block_others(
    world: World, feed: Feed, crowd: contextlib.ExitStack
) -> None:
    queue = world.queue(job("a", "head -c 50000000 /dev/zero"))
    queue.run("--no-s3")
    ask = b"GET /v1/queues/q/output/a/1/stdout.log HTTP/1.1\r\n" + HOST + b"\r\n"
    for _ in range(server.MAX_CLIENTS - 1):
        sock = crowd.enter_context(feed.connect())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(ask * 60)
    for _ in range(20):
        _serves(feed)
    assert feed.memory() < 120e6, "one answer per client, not sixty"


def test_disconnected_clients_leave_no_descriptor(world: World, feed: Feed) -> None:
    world.queue(job("a", "true")).run("--no-s3")
    for number in range(40):
        with feed.connect() as sock:
            sock.sendall(b"GET /v1/queues/q?wait=25 HTTP/1.1\r\n"[: number % 40] + HOST)
    _serves(feed)
    descriptors = Path(f"/proc/{feed.pid}/fd")
    wait_until(lambda: len(list(descriptors.iterdir())) < 16, what="what was left to be closed")


def test_a_long_poll_without_news_ends_after_its_wait(world: World, feed: Feed) -> None:
    world.queue(job("a", "true")).run("--no-s3")
    with feed.client() as client:
        page, lines = client.page(PageRequest(queue_id="q"))
        assert page.machine is not None
        hash_ = chain.parse_line(lines[-1])[0].hex()
        ask = PageRequest(
            queue_id="q", after=page.seq, hash_=hash_, since=page.machine.version, wait=1.0
        )
        again, lines = client.page(ask)
    assert (again.seq, lines) == (page.seq, [])
    assert again.machine is not None
    assert again.machine.version == page.machine.version
