"""Parse a client's GET request strictly.

Source: RFC 9112. Everything that a server may reject is rejected.
"""

import re
from http import HTTPStatus

import msgspec
from msgspec import Struct

from spawn.core.errors import CorruptLog, InvalidArgument, QueueNotFound, SpawnError
from spawn.store.feed.answers import SERVICE, Fault
from spawn.store.feed.errors import OutputNotFound
from spawn.store.feed.requests import NoSuchAddress

MAX_HEAD = 8 * 1024
"""Maximum size of a request in bytes."""
MAX_LINE = 2 * 1024
MAX_HEADERS = 32
END = b"\r\n\r\n"

_REQUEST = re.compile(rb"([A-Z]{1,16}) ([!-~]{1,2000}) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_HOST = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)


class Request(Struct, frozen=True):
    """A request. `keep`: whether the connection stays open after the answer."""

    target: str
    keep: bool


class BadRequest(Exception):
    """The request is rejected.

    Args:
        status: HTTP status code.
        what: The reason.
    """

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


def parse_request(head: bytes) -> Request:
    """Parse a request's head, without the final empty line.

    Raises:
        BadRequest: The request is invalid or not allowed.
    """
    first, *lines = head.split(b"\r\n")
    if len(lines) > MAX_HEADERS or any(len(line) > MAX_LINE for line in (first, *lines)):
        raise BadRequest(431, "the request is too long")
    match = _REQUEST.fullmatch(first)
    if match is None:
        raise BadRequest(400, "this is not an HTTP request")
    if match[1] != b"GET":
        raise BadRequest(405, "the feed is read-only: use GET")
    headers = _headers(lines)
    _expect_host(headers)
    if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
        raise BadRequest(400, "a GET has no body")
    if b"origin" in headers:
        raise BadRequest(403, "requests from web pages are not allowed")
    keep = match[3] == b"1" and headers.get(b"connection", b"").lower() != b"close"
    return Request(match[2].decode(), keep)


def _headers(lines: list[bytes]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise BadRequest(400, "a header is malformed")
        name = found[1].lower()
        if name in headers and name in (b"host", b"content-length"):
            raise BadRequest(400, "a header is duplicated")
        headers[name] = found[2].rstrip(b" \t")
    return headers


def _expect_host(headers: dict[bytes, bytes]) -> None:
    """Reject other host names: a web page may have made its own name resolve to 127.0.0.1."""
    if not _HOST.fullmatch(headers.get(b"host", b"")):
        raise BadRequest(421, "the host must be 127.0.0.1 or localhost")


_ALWAYS = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"


class Response(Struct, frozen=True):
    """A response; `more` has additional headers."""

    body: bytes
    kind: str = "application/json"
    status: int = 200
    more: tuple[tuple[str, str], ...] = ()


def encode(response: Response, *, keep: bool) -> bytes:
    """Encode a response.

    Args:
        keep: Whether the connection stays open.
    """
    more = response.more if keep else (*response.more, ("Connection", "close"))
    own = "".join(f"{name}: {value}\r\n" for name, value in more)
    head = (
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
        f"Content-Type: {response.kind}\r\n"
        f"Content-Length: {len(response.body)}\r\n"
        f"{_ALWAYS}{own}\r\n"
    )
    return head.encode() + response.body


def error_response(error: SpawnError) -> Response:
    """Return the response for an error."""
    status, kind = 500, "failed"
    match error:
        case NoSuchAddress():
            status, kind = 404, "no_such_address"
        case QueueNotFound():
            status, kind = 404, "queue_not_found"
        case OutputNotFound():
            status, kind = 404, "no_output"
        case CorruptLog():
            kind = "corrupt_log"
        case InvalidArgument():
            status, kind = 400, "invalid_argument"
    fault = Fault(
        service=SERVICE,
        kind=kind,
        what=error.what,
        why=error.why,
        hint=error.hint,
        seq=error.seq if isinstance(error, CorruptLog) else 0,
        cause=error.cause if isinstance(error, QueueNotFound) else "",
    )
    return Response(msgspec.json.encode(fault), status=status)


def refuse(
    status: int, what: str, *, why: str = "", hint: str = "", kind: str = "refused"
) -> Response:
    """Return a response with an error message."""
    fault = Fault(service=SERVICE, kind=kind, what=what, why=why, hint=hint)
    return Response(msgspec.json.encode(fault), status=status)
