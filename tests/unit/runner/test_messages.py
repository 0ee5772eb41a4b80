"""Messages between a runner and a supervisor."""

import marshal
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.arbitrary import of
from tests.support.soak import scaled

from spawn.core.domain.attempt_exit import AttemptExit
from spawn.runner.process.supervisor_protocol import (
    AttemptEnded,
    Go,
    Message,
    Order,
    PrepareFailed,
    Ready,
    Stop,
    receive,
    send,
)

Channel = tuple[socket.socket, socket.socket]
MESSAGES = st.one_of(
    *map(of, (Order, Ready, PrepareFailed, Stop, Go)),
    st.builds(AttemptEnded, of(AttemptExit).map(tuple)),
)


@pytest.fixture
def channel() -> Iterator[Channel]:
    """Both ends of a socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@settings(max_examples=scaled(25, 60))
@given(st.lists(MESSAGES, max_size=3))
def test_messages_arrive_unchanged_and_in_order(messages: list[Message]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for message in messages:
            send(ours, message)
        ours.close()
        assert list(iter(lambda: receive(theirs), None)) == messages


def test_an_order_with_a_large_environment_arrives(channel: Channel) -> None:
    order = _order({b"V%d" % number: b"x" * 10_000 for number in range(200)})
    sender = threading.Thread(target=send, args=(channel[0], order))
    sender.start()
    assert receive(channel[1]) == order
    sender.join()


def test_a_message_is_read_byte_by_byte(channel: Channel) -> None:
    ours, theirs = channel
    send(ours, Ready(pid=1, supervisor=2, log_offset=3))
    data = theirs.recv(1000)

    def trickle() -> None:
        for byte in data:
            ours.send(bytes([byte]))

    sender = threading.Thread(target=trickle)
    sender.start()
    assert receive(theirs) == Ready(pid=1, supervisor=2, log_offset=3)
    sender.join()


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 8])
def test_a_closed_end_gives_no_message_even_within_one(channel: Channel, size: int) -> None:
    ours, theirs = channel
    send(ours, Go())
    data = theirs.recv(1000)
    assert len(data) > 8
    ours.send(data[:size])
    ours.close()
    assert receive(theirs) is None


def test_sending_to_a_closed_end_is_an_os_error(channel: Channel) -> None:
    channel[1].close()
    with pytest.raises(OSError, match="Broken pipe"):
        send(channel[0], Go())


def test_an_environment_that_is_not_utf_8_arrives_unchanged(channel: Channel) -> None:
    """`os.environ` has such bytes as surrogates, and the command must get the original bytes."""
    order = _order({b"NAME": b"caf\xe9"})
    send(channel[0], order)
    assert receive(channel[1]) == order


def test_an_invalid_message_is_rejected(channel: Channel) -> None:
    channel[0].send(b"\0\0\0\1\xc1")
    with pytest.raises((EOFError, ValueError)):
        receive(channel[1])


def _order(environment: dict[bytes, bytes]) -> Order:
    return Order(
        token="abc",
        folder="/f",
        job_log="/l",
        job_log_link="/k",
        command="true",
        working_directory="/",
        environment=environment,
        timeout=None,
        kill_grace=30.0,
    )


def test_unknown_fields_of_a_newer_runner_are_ignored(channel: Channel) -> None:
    body = marshal.dumps(("Stop", "timeout", 3.0, "and why"), 4)
    channel[0].send(len(body).to_bytes(4, "big") + body)
    assert receive(channel[1]) == Stop(cause="timeout", grace=3.0)
