"""Addresses of the feed are parsed as they were formatted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.core.errors import InvalidArgument
from spawn.core.values.ids import why_not_queue_id
from spawn.store.feed.requests import (
    DEFAULT_PORT,
    MAX_WAIT,
    STREAMS,
    Ask,
    HelloRequest,
    NoSuchAddress,
    OutputRequest,
    PageRequest,
    QueuesRequest,
    feed_port,
    parse_target,
)

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
QUEUES = IDS.filter(lambda name: why_not_queue_id(name) is None)
WAITS = st.integers(0, int(MAX_WAIT)).map(float)
NUMBERS = st.integers(0, 10**15 - 1)

ASKS = st.one_of(
    st.just(HelloRequest()),
    st.just(QueuesRequest()),
    st.builds(
        PageRequest,
        queue_id=QUEUES,
        after=NUMBERS,
        hash_=st.binary(min_size=32, max_size=32).map(bytes.hex),
        since=st.sampled_from(["", "0a1b2c3d.17"]),
        wait=WAITS,
    ),
    st.builds(
        OutputRequest,
        queue_id=QUEUES,
        job_id=IDS,
        attempt=NUMBERS,
        name=st.sampled_from(STREAMS),
        at=NUMBERS,
        wait=WAITS,
    ),
)


@given(ASKS)
def test_an_address_is_parsed_as_it_was_formatted(ask: Ask) -> None:
    assert parse_target(ask.target) == ask
    assert ask.target.isascii()
    assert " " not in ask.target


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_rejected(target: str) -> None:
    for text in (target, f"/v1/{target}", f"/v1/queues/{target}", f"/v1/queues/q?{target}"):
        try:
            parse_target(text)
        except InvalidArgument:
            continue


def test_the_wait_is_limited() -> None:
    ask = parse_target("/v1/queues/q?wait=999999")
    assert isinstance(ask, PageRequest)
    assert ask.wait == MAX_WAIT


@pytest.mark.parametrize("queue_id", ["local", "i-0abc", "q.fenced-3", ".", "..", "", "a/b"])
def test_an_invalid_queue_id_has_no_address(queue_id: str) -> None:
    with pytest.raises(NoSuchAddress):
        parse_target(f"/v1/queues/{queue_id}")


def test_the_port_is_the_default_unless_it_is_set() -> None:
    assert feed_port({}) == feed_port({"SPAWN_FEED_PORT": ""}) == DEFAULT_PORT
    assert feed_port({"SPAWN_FEED_PORT": "4711"}) == 4711
    for text in ("x", "-1", "65536", "1.5", "٣", " 1"):
        with pytest.raises(InvalidArgument):
            feed_port({"SPAWN_FEED_PORT": text})
