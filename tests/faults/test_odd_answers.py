"""A server, a proxy or a login page gives answers that S3 never gives."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.machines import Machines, check_replica
from tests.support.proxy import Answer, Proxy, proxy
from tests.support.queues import World, job, until
from tests.support.s3 import CREDENTIALS, Server
from tests.support.soak import SOAK, scaled
from tests.support.wait import elapsed

from spawn.store.objects import s3
from spawn.store.objects.interface import ETagMismatch, ObjectExists, ObjectNotFound, StoreError
from spawn.store.objects.s3 import S3Store

PAGE = b"<html><head><title>Sign in</title></head><body><p>Sign in<br></body></html>"
EMPTY_LIST = (
    b'<?xml version="1.0"?><ListBucketResult><Name>b</Name><KeyCount>3</KeyCount>'
    b"<MaxKeys>1000</MaxKeys><IsTruncated>%s</IsTruncated></ListBucketResult>"
)
XML = ("Content-Type", "application/xml")
HTML = ("Content-Type", "text/html; charset=utf-8")


def _raw(status: str, headers: list[tuple[str, str]], body: bytes, length: str = "") -> bytes:
    """Return the bytes of an answer, with a Content-Length unless the headers have one."""
    given = {name.lower() for name, _ in headers}
    if "content-length" not in given:
        headers = [*headers, ("Content-Length", length or str(len(body)))]
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body


def _fixed(status: str, *headers: tuple[str, str], body: bytes = b"") -> Callable[[Answer], bytes]:
    return lambda _: _raw(status, list(headers), body)


def _changed(
    name: str, value: str | None, body: Callable[[bytes], bytes] = lambda data: data
) -> Callable[[Answer], bytes]:
    """Return the server's own answer with another header and body.

    Args:
        value: None removes the header.
    """

    def change(answer: Answer) -> bytes:
        status, reason, headers, data = answer
        dropped = {name.lower(), "content-length", "transfer-encoding", "connection"}
        kept = [each for each in headers if each[0].lower() not in dropped]
        kept += [(name, value)] if value is not None else []
        return _raw(f"{status} {reason}", kept, body(data))

    return change


def _length(by: int) -> Callable[[Answer], bytes]:
    """Return the server's own answer with a Content-Length that is off by `by`."""

    def change(answer: Answer) -> bytes:
        status, reason, headers, data = answer
        dropped = ("content-length", "transfer-encoding", "connection")
        kept = [each for each in headers if each[0].lower() not in dropped]
        return _raw(f"{status} {reason}", kept, data, str(max(0, len(data) + by)))

    return change


ODD: dict[str, Callable[[Answer], bytes]] = {
    "without an ETag": _changed("ETag", None),
    "an ETag that is empty": _changed("ETag", '""'),
    "204": _fixed("204 No Content"),
    "empty": _fixed("200 OK"),
    "a login page": _fixed("200 OK", HTML, body=PAGE),
    "a login page in place of what is there": _changed("Content-Type", HTML[1], lambda _: PAGE),
    "cut after the status line": lambda _: b"HTTP/1.1 200 OK\r\n",
    "cut in the head": lambda _: b"HTTP/1.1 200 OK\r\nContent-Le",
    "a redirect to itself": _fixed("302 Found", ("Location", "/")),
    "a redirect elsewhere": _fixed("302 Found", ("Location", "http://127.0.0.1:9/")),
    "a redirect to nowhere": _fixed("301 Moved Permanently"),
    "100 and no more": lambda _: b"HTTP/1.1 100 Continue\r\n\r\n",
    "longer than it is": _length(7),
    "shorter than it is": _length(-7),
    "XML of another kind": _fixed("200 OK", XML, body=b"<Other><Thing>1</Thing></Other>"),
    "an error of another kind": _fixed("403 Forbidden", XML, body=b"<Other/>"),
    "XML that is none": _fixed("200 OK", XML, body=b"<ListBucketResult><Contents>"),
    "gzip that is none": _changed("Content-Encoding", "gzip", lambda _: b"\x1f\x8b garbage"),
    "gzip that is": _changed("Content-Encoding", "gzip", gzip.compress),
    "a negative length": _fixed("200 OK", ("Content-Length", "-5"), body=PAGE),
    "HTTP/0.9": lambda _: PAGE,
    "500 with a page": _fixed("500 Oops", HTML, body=PAGE),
    "404 with a page": _fixed("404 Not Found", HTML, body=PAGE),
    "412 with a page": _fixed("412 Precondition Failed", HTML, body=PAGE),
    "999": _fixed("999 Denied", HTML, body=PAGE),
    "a huge header": _fixed("200 OK", ("X-Huge", "x" * 100_000)),
    "a list that goes on nowhere": _fixed("200 OK", XML, body=EMPTY_LIST % b"true"),
    "a list without its keys": _fixed("200 OK", XML, body=EMPTY_LIST % b"false"),
    "a Last-Modified that is no date": _changed("Last-Modified", "yesterday"),
    "a Date that is no date": _changed("Date", "Mon, 99 Foo 20026 25:61:61 +99999999"),
}
"""Odd answers, made from the server's own answer. The request has taken effect."""

HARMLESS = {"a Date that is no date", "shorter than it is", "gzip that is none", "gzip that is"}
"""Answers after which an operation may succeed: its caller checks the content."""


@pytest.fixture(scope="module")
def through(server: Server) -> Iterator[Proxy]:
    """A proxy of the server."""
    with proxy(server.endpoint) as made:
        yield made


@pytest.mark.parametrize("odd", ODD)
def test_an_operation_with_an_odd_answer_raises_an_error_of_the_contract(
    through: Proxy, odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": through.endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3, "PART_BYTES", 1000)
    store = S3Store(bucket="odd", prefix=tmp_path.name)
    if not through.puts("first"):
        store._client._connect().client.create_bucket(Bucket="odd")
    store.create("first", b"first")
    (tmp_path / "large").write_bytes(b"y" * 2500)
    operations: dict[str, Callable[[], object]] = {
        "read": lambda: store.read("first"),
        "list": lambda: store.list("", ""),
        "folders": lambda: list(store.folders()),
        "has": lambda: store.has("first"),
        "open": lambda: store.open("first").read(),
        "range": lambda: store.open_range("first", 0, 3)[0].read(),
        "create": lambda: store.create("new", b"x"),
        "replace": lambda: store.replace("first", b"second", etag='"e"'),
        "put": lambda: store.put("put", b"x"),
        "parts": lambda: store.put_file("large", tmp_path / "large"),
    }
    with through.fault("odd", raw=ODD[odd]) as rule:
        for name, operation in operations.items():
            before = rule.hits
            try:
                operation()
            except StoreError:
                pass
            except (ObjectExists, ETagMismatch, ObjectNotFound):
                assert odd in HARMLESS or name == "replace", name
            assert rule.hits - before <= 12, f"{name}: redirects are bounded"
    again = S3Store(bucket="odd", prefix=tmp_path.name)  # over connections that are still open
    assert again.read("first").data == b"first"


def test_a_runner_survives_odd_answers_and_keeps_its_queue(
    machines: Machines,
) -> None:
    machines.override_constant("spawn.runner.replication.replicator.RENEW_SECONDS", 0.2)
    machines.override_constant("spawn.runner.replication.replicator.LONGEST_PAUSE", 0.2)
    machines.override_constant("spawn.runner.replication.replicator.SEGMENT_SECONDS", 0.1)
    machines.override_constant("spawn.runner.transfers.publisher.LONGEST_PAUSE", 0.2)
    a = machines.machine("a")
    with machines.separate_proxy() as own:
        b = machines.machine("b", own)
        queue = a.queue(
            *(job(f"j{n}", f"{until(f'go{n}')}; echo {n} > x{n}", result_files=[f"x{n}"])
              for n in range(len(ODD))),
            job("last", until("end")),
        )  # fmt: skip
        process = queue.start()
        queue.wait_executing("j0")
        for n, (name, raw) in enumerate(ODD.items()):
            with machines.proxy.fault("odd", raw=raw) as rule:
                a.release(f"go{n}")
                queue.until(lambda: rule.hits >= 4, f"{name} was met")
                queue.until(elapsed(scaled(0, 10)), f"{name} lasts")
                queue.wait_for("JobCompleted", f"j{n}")
                if SOAK:
                    _expect_refusal(b)
            there = f"j{n + 1}" if n + 1 < len(ODD) else "last"
            queue.wait_executing(there)
            queue.until(
                lambda: len(machines.remote().events()) == len(queue.events()),
                f"all has shipped after {name}",
            )
        _expect_refusal(b)
        a.release("end")
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "invalid response" in err
    assert queue.state.epoch == 1
    check_replica(queue, machines.remote())


def _expect_refusal(other: World) -> None:
    """Check that another machine cannot take over the queue."""
    refused = other.spawn("resume", "q", "--from-s3")
    assert refused.code == 1, refused
    assert "is owned by" in refused.err
