"""A client distinguishes a feed from other programs, and protocol versions from each other."""

import socket

import msgspec
import pytest
from tests.support.feeds import NAME, answered, hello, program
from tests.support.logs import QUEUE_ID

from spawn import __version__
from spawn.core.errors import CorruptLog, QueueNotFound, SpawnError
from spawn.store.feed import client as asking
from spawn.store.feed.answers import MachineState, Page
from spawn.store.feed.client import FeedClient
from spawn.store.feed.errors import FeedRefused, FeedUnavailable, IncompatibleProtocol, NotAFeed
from spawn.store.feed.requests import PageRequest

PAGE = PageRequest(queue_id=QUEUE_ID)


def _failure(*says: bytes | None, first: bytes = b"") -> SpawnError:
    """Return the error that a client raises for a program."""
    with program(*says, first=first) as address, FeedClient(lambda: address, NAME) as client:
        with pytest.raises(SpawnError) as caught:
            client.page(PAGE)
        return caught.value


@pytest.mark.parametrize(
    "says",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.0 404 File not found\r\nServer: SimpleHTTP/0.6\r\n\r\n",
        answered(b"<html>It works!</html>"),
        answered(b"<html>no</html>", "404 Not Found"),
        answered(b'{"cluster_name": "elasticsearch", "version": {"number": "8.1"}}'),
        answered(b"[" * 100_000),
        answered(b"\xff\xfe"),
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 " + b"x" * 1_000_000,
        b"\0" * 100,
        hello(service="another-feed"),
    ],
)
def test_another_program_on_the_port_is_not_a_feed(says: bytes) -> None:
    error = _failure(says)
    assert isinstance(error, NotAFeed)
    assert str(error).startswith(f"the program on the feed's port of {NAME} is not a spawn feed")
    assert "SPAWN_FEED_PORT" in error.hint


def test_a_program_that_speaks_first_is_not_a_feed() -> None:
    assert isinstance(_failure(first=b"220 mail.example ESMTP\r\n"), NotAFeed)


def test_quoted_output_of_another_program_is_printable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from spawn.cli.main import show

    show(_failure(b"\x1b]0;owned\x07\x1b[31mred\r\n"))
    assert "\x1b" not in capsys.readouterr().err


def test_a_closed_port_is_a_temporary_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
        with FeedClient(lambda: address, NAME) as client, pytest.raises(FeedUnavailable) as caught:
            client.page(PAGE)
    assert str(caught.value) == f"the feed of {NAME} does not answer: Connection refused"
    assert "spawn queue feed" in caught.value.hint


def test_a_dropped_connection_is_a_temporary_error() -> None:
    assert isinstance(_failure(None, None), FeedUnavailable)
    assert isinstance(_failure(hello(), b"HTTP/1.1 200 OK\r\nContent-Le", None), FeedUnavailable)


def test_a_silent_program_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWER_SECONDS", 0.3)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        FeedClient(listener.getsockname, NAME) as client,
        pytest.raises(FeedUnavailable) as caught,
    ):
        client.page(PAGE)
    assert caught.value.why == "timed out"


@pytest.mark.parametrize(
    ("protocol", "oldest", "side"), [(9, 8, "here"), (2, 2, "here"), (0, 0, "there")]
)
def test_an_incompatible_protocol_names_the_side_to_update(
    protocol: int, oldest: int, side: str
) -> None:
    error = _failure(hello(protocol=protocol, oldest=oldest, version="9.9.9"))
    assert isinstance(error, IncompatibleProtocol)
    assert error.hint == f"spawn is {__version__} here and 9.9.9 there; update spawn {side}"
    assert f"it supports {oldest} to {protocol}, this spawn supports 1 to 1" in error.why


def test_a_newer_compatible_feed_is_accepted() -> None:
    page = {
        "queue_id": QUEUE_ID,
        "seq": 0,
        "colour": "blue",
        "machine": {"version": "a.1", "whole": True, "runner_alive": False, "moon": {"phase": 1},
                    "jobs": {"a": {"log_file": "/log/a.log", "mood": "good"}}},
    }  # fmt: skip
    newer = hello(protocol=3, oldest=1, more={"a": 1})
    body = msgspec.json.encode(page) + b"\n"
    with program(newer, answered(body)) as address, FeedClient(lambda: address, NAME) as client:
        found, lines = client.page(PAGE)
    assert (found.seq, lines) == (0, [])
    assert found.machine is not None
    assert found.machine.jobs["a"] is not None
    assert found.machine.jobs["a"].log_file == "/log/a.log"


def test_answers_of_the_first_protocol_are_accepted() -> None:
    page = msgspec.json.decode(
        b'{"queue_id":"q","seq":7,"now":"2026-01-27T22:05:32.000001Z","machine":{"version":"ab.3",'
        b'"whole":true,"runner_alive":true,"replica":{"location":"s3://b/q/","behind":2,'
        b'"since":"2026-01-27T22:05:30Z","trouble":"no route","fence":true},"jobs":{"a":{"progress"'
        b':{"fraction":0.25,"current":1,"total":4,"label":"step"},"recent":["x"],"log_file":"/l",'
        b'"raw_alone":false},"b":null},"earlier":{"a":1.5}}}',
        type=Page,
    )
    assert isinstance(page.machine, MachineState)
    assert page.machine.replica is not None
    assert page.machine.jobs["a"] is not None
    assert page.machine.jobs["a"].progress is not None
    assert page.machine.jobs["a"].progress.text == "step 1/4 (25%)"
    assert (page.machine.jobs["b"], page.machine.earlier) == (None, {"a": 1.5})


def _fault(kind: str, status: str, **more: object) -> bytes:
    said = {"service": "spawn-feed", "kind": kind, "what": "it is so", "why": "as it is", **more}
    return answered(msgspec.json.encode(said), status)


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("queue_not_found", "404 Not Found", QueueNotFound),
        ("corrupt_log", "500 Internal Server Error", CorruptLog),
        ("another_user", "403 Forbidden", FeedRefused),
        ("busy", "503 Service Unavailable", FeedUnavailable),
        ("no_such_address", "404 Not Found", IncompatibleProtocol),
        ("something_newer", "418 I'm a Teapot", FeedRefused),
    ],
)
def test_errors_of_the_feed_become_the_same_errors_in_the_client(
    kind: str, status: str, error: type[SpawnError]
) -> None:
    found = _failure(hello(), _fault(kind, status, seq=4))
    assert type(found) is error
    if isinstance(found, CorruptLog):
        assert found.seq == 4


@pytest.mark.parametrize(
    ("cause", "what", "hint"),
    [
        ("absent", f"queue {QUEUE_ID} is not on {NAME}", f"`spawn queue list {NAME}` lists"),
        ("starting", f"{NAME}: it is so", "do it there"),
        ("", f"{NAME}: it is so", f"`spawn queue list {NAME}` lists"),
        ("something_newer", f"{NAME}: it is so", f"`spawn queue list {NAME}` lists"),
    ],
)
def test_a_queue_that_is_not_there_is_reported_for_this_machine(
    cause: str, what: str, hint: str
) -> None:
    fault = _fault("queue_not_found", "404 Not Found", cause=cause, hint="do it there")
    found = _failure(hello(), fault)
    assert (found.what, found.why) == (what, "as it is")
    assert found.hint.startswith(hint)


def test_another_user_is_rejected_before_any_request() -> None:
    assert type(_failure(_fault("another_user", "403 Forbidden"))) is FeedRefused


def test_a_dropped_connection_is_reopened() -> None:
    body = b'{"queue_id":"nightly","seq":0}\n'
    says = (hello(), answered(body), None, hello(), answered(body))
    with program(*says) as address, FeedClient(lambda: address, NAME) as client:
        assert client.page(PAGE)[0] == client.page(PAGE)[0]
