"""The parser of requests accepts only well-formed GETs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.runner.feed.request import BadRequest, Request, parse_request

HEADERS = st.lists(
    st.sampled_from(
        [b"Host: 127.0.0.1", b"Host: evil", b"Connection: close", b"A: b", b": x", b" folded", b""]
    ),
    max_size=5,
)
FIRST = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"POST / HTTP/1.1", b"GET /\tHTTP/1.1"]),
)


@given(FIRST, HEADERS)
def test_any_bytes_are_a_request_or_an_error(first: bytes, headers: list[bytes]) -> None:
    head = b"\r\n".join((first, *headers))
    try:
        found = parse_request(head)
    except BadRequest:
        return
    assert first.startswith(b"GET ")
    assert headers.count(b"Host: 127.0.0.1") == 1
    assert b"Host: evil" not in headers
    assert found.keep == (first.endswith(b"1.1") and b"Connection: close" not in headers)


@pytest.mark.parametrize("target", ["/", "/v1/queues/q?after=1&hash=00"])
def test_a_valid_request_is_parsed(target: str) -> None:
    head = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:27296\r\nUser-Agent: curl/8".encode()
    assert parse_request(head) == Request(target, keep=True)
