"""The feed's loop: how often it checks for news."""

import os
import socket
import threading

from tests.support.queues import SECONDS

from spawn.runner.feed.request import Response, refuse
from spawn.runner.feed.server import TICK_SECONDS, Server
from spawn.store.feed.requests import Ask


class NoNews:
    """Counts its calls, and answers only when a client's wait is over."""

    watching = False

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self, ask: Ask, *, first: bool, last: bool) -> Response | None:
        self.looks += 1
        return refuse(404, "no news") if last else None

    def forget(self) -> None:
        """Do nothing."""


class Failing(NoNews):
    """Raises errors outside of requests at first."""

    def forget(self) -> None:
        self.looks += 1
        if self.looks < 3:
            raise KeyError("odd")


def test_an_internal_error_is_reported_and_does_not_stop_the_service() -> None:
    errors: list[BaseException] = []
    read, write = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        server = Server(listener, Failing(), frozenset({os.geteuid()}), errors.append)
        loop = threading.Thread(target=server.run, args=(read,), daemon=True)
        loop.start()
        try:
            with socket.create_connection(listener.getsockname(), SECONDS) as client:
                client.sendall(b"GET /v1/queues/q?wait=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 404 ")
        finally:
            os.write(write, b"x")
            loop.join(SECONDS)
            os.close(read)
            os.close(write)
    assert not loop.is_alive()
    assert {type(error) for error in errors} == {KeyError}


def test_the_loop_checks_once_per_tick_while_a_client_waits() -> None:
    answers = NoNews()
    errors: list[BaseException] = []
    read, write = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        server = Server(listener, answers, frozenset({os.geteuid()}), errors.append)
        loop = threading.Thread(target=server.run, args=(read,), daemon=True)
        loop.start()
        try:
            with socket.create_connection(listener.getsockname(), SECONDS) as client:
                client.sendall(b"GET /v1/queues/q?wait=2 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 404 ")
        finally:
            os.write(write, b"x")
            loop.join(SECONDS)
            os.close(read)
            os.close(write)
    assert errors == []
    assert TICK_SECONDS >= 0.1
    # One on arrival, at most one more in the same round, one per tick, and the last one.
    assert 2 <= answers.looks <= 2.0 / TICK_SECONDS + 4
