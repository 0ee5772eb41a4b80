"""Encode responses; head and body are one buffer, so that one write can send both."""

from http import HTTPStatus

import msgspec
from msgspec import Struct

from spawn.core.errors import CorruptLog, InvalidArgument, QueueNotFound, SpawnError
from spawn.core.feed.address import NoSuchAddress
from spawn.core.feed.wire import SERVICE, Fault
from spawn.store.feed.errors import NoOutput

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
        case NoOutput():
            status, kind = 404, "no_output"
        case CorruptLog():
            kind = "corrupt_log"
        case InvalidArgument():
            status, kind = 400, "invalid_argument"
    seq = error.seq if isinstance(error, CorruptLog) else 0
    return refuse(status, error.what, why=error.why, hint=error.hint, kind=kind, seq=seq)


def refuse(
    status: int, what: str, *, why: str = "", hint: str = "", kind: str = "refused", seq: int = 0
) -> Response:
    """Return a response with an error message."""
    fault = Fault(service=SERVICE, kind=kind, what=what, why=why, hint=hint, seq=seq)
    return Response(msgspec.json.encode(fault), status=status)
