"""Read what a client sends: a GET, and nothing that is not one to the letter.

Source: RFC 9112 for the form. Whatever it lets a server refuse is refused.
"""

import re

from msgspec import Struct

MAX_HEAD = 8 * 1024
"""Bytes that a request may have."""
MAX_LINE = 2 * 1024
MAX_HEADERS = 32
END = b"\r\n\r\n"

_REQUEST = re.compile(rb"([A-Z]{1,16}) ([!-~]{1,2000}) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_HOST = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)


class Request(Struct, frozen=True):
    """What is asked for, and whether the client may ask more on this connection."""

    target: str
    keep: bool


class BadRequest(Exception):
    """No request that is answered.

    Args:
        status: Of HTTP.
        what: In words.
    """

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


def parse(head: bytes) -> Request:
    """Read a request's head, without the empty line that ends it.

    Raises:
        BadRequest: It is not to be answered.
    """
    first, *lines = head.split(b"\r\n")
    if len(lines) > MAX_HEADERS or any(len(line) > MAX_LINE for line in (first, *lines)):
        raise BadRequest(431, "the request is too long")
    asked = _REQUEST.fullmatch(first)
    if asked is None:
        raise BadRequest(400, "this is no HTTP request")
    if asked[1] != b"GET":
        raise BadRequest(405, "nothing can be changed here: GET is all there is")
    headers = _headers(lines)
    _expect_host(headers)
    if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
        raise BadRequest(400, "a GET has no body")
    if b"origin" in headers:
        raise BadRequest(403, "this is not for the pages of a browser")
    keep = asked[3] == b"1" and headers.get(b"connection", b"").lower() != b"close"
    return Request(asked[2].decode(), keep)


def _headers(lines: list[bytes]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise BadRequest(400, "a header is malformed")
        name = found[1].lower()
        if name in headers and name in (b"host", b"content-length"):
            raise BadRequest(400, "a header is there twice")
        headers[name] = found[2].rstrip(b" \t")
    return headers


def _expect_host(headers: dict[bytes, bytes]) -> None:
    """A page of the web whose own name was made to mean 127.0.0.1 says that name here."""
    if not _HOST.fullmatch(headers.get(b"host", b"")):
        raise BadRequest(421, "this is asked for as 127.0.0.1 or localhost, and by no other name")
