"""Encode an event as one line of canonical JSON, and decode it.

The same bytes are stored, hashed, replicated and served; an event is never encoded again.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from spawn.core.domain.events import TYPES, Data, Event
from spawn.core.errors import UnreadableEvent

MAX_LINE = 64 * 1024
"""Maximum line length in bytes, so that no event fills a reader's memory."""

_encoder = msgspec.json.Encoder(order="sorted")
_decoders: dict[bytes, tuple[msgspec.json.Decoder[Event[Data]], str, int]] = {
    name.encode(): (msgspec.json.Decoder(Event[cls]), name, cls.VERSION)  # type: ignore[valid-type]
    for name, cls in TYPES.items()
}


class _Head(Struct):
    """The fields common to all event types and versions."""

    seq: int
    queue_id: str
    type: str
    v: int
    at: str
    epoch: int
    data: dict[str, Any]
    job_id: str | None = None
    attempt: int | None = None
    note: bool = False


_head = msgspec.json.Decoder(_Head)
_NOT_AN_EVENT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SURROGATE = re.compile("[\ud800-\udfff]")


def valid_utf8(text: bytes | str) -> str:
    """Make untrusted text valid UTF-8: invalid bytes and surrogates become U+FFFD."""
    if isinstance(text, bytes):
        return text.decode("utf-8", "replace")
    return _SURROGATE.sub("\ufffd", text)


def encode(event: Event[Data]) -> bytes:
    """Encode an event: UTF-8, sorted keys, no spaces, no line break.

    Raises:
        ValueError: The line exceeds `MAX_LINE`, or does not decode to the same event.
    """
    line = _encoder.encode(event)
    if decode_expected(line, event.type.encode()) != event:
        raise ValueError(f"{event.type} contains a value that JSON cannot represent")
    if len(line) > MAX_LINE:
        raise ValueError(f"{event.type} has {len(line)} bytes; the maximum is {MAX_LINE}")
    return line


def decode(line: bytes, type_: bytes | None = None, *, writer: str = "") -> Event[Data] | None:
    """Decode a line; an older version is converted to the current one.

    Args:
        line: The exact bytes, without a line break.
        type_: The expected event type, which makes decoding faster.
        writer: The version of spawn that wrote the line, for error messages.

    Returns:
        The event, or None for a note of an unknown type.

    Raises:
        UnreadableEvent: The line is not an event, or its type or version is unknown.
    """
    return decode_expected(line, type_) or _decode_slowly(line, writer)


def decode_expected(line: bytes, type_: bytes | None) -> Event[Data] | None:
    """Decode a line of type `type_` at the current version; None if it is anything else."""
    try:
        decoder, name, version = _decoders[type_]  # type: ignore[index]
        event = decoder.decode(line)
    except (KeyError, *_NOT_AN_EVENT):
        return None
    return event if event.type == name and event.v == version else None


def header_fields(line: bytes) -> tuple[str, str | None, str]:
    """Return `(type, job_id, at)` of a line of any type and version.

    Raises:
        UnreadableEvent: The line is not an event.
    """
    head = _decode_head(line)
    return head.type, head.job_id, head.at


def _decode_head(line: bytes) -> _Head:
    try:
        return _head.decode(line)
    except _NOT_AN_EVENT as error:
        raise UnreadableEvent("a line is not an event", why=str(error)) from None


def _decode_slowly(line: bytes, writer: str) -> Event[Data] | None:
    head = _decode_head(line)
    cls = TYPES.get(head.type)
    if cls is None and head.note:
        return None
    if cls is None or head.v > cls.VERSION:
        version = head.data.get("version") or writer
        writer = f"spawn {version}" if version else "another version of spawn"
        what = head.type if cls is None else f"{head.type} version {head.v}"
        raise UnreadableEvent(
            f"event {head.seq}: {what} is unknown to this version of spawn",
            seq=head.seq,
            why=f"{writer} wrote it",
            hint=f"read this queue with {writer}",
        )
    try:
        data = msgspec.convert(upcast(head.type, head.v, head.data, to=cls.VERSION), cls)
    except NoUpcaster:
        why = f"{head.type} has no version {head.v}"
        raise UnreadableEvent(f"event {head.seq} cannot be read", seq=head.seq, why=why) from None
    except Exception as error:  # an upcaster may fail in any way on malformed data
        raise UnreadableEvent(
            f"event {head.seq} cannot be read", seq=head.seq, why=f"{head.type}: {error!r}"
        ) from None
    return Event(
        seq=head.seq,
        queue_id=head.queue_id,
        type=head.type,
        v=cls.VERSION,
        at=head.at,
        epoch=head.epoch,
        data=data,
        job_id=head.job_id,
        attempt=head.attempt,
        note=head.note,
    )


Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: dict[tuple[str, int], Upcaster] = {}
"""`(type, v)` to the function that converts data of version `v` to version `v + 1`."""


class NoUpcaster(LookupError):
    """The event type has no such version."""


def upcast(type_: str, v: int, data: dict[str, Any], *, to: int) -> dict[str, Any]:
    """Convert `data` from version `v` to version `to`.

    Raises:
        NoUpcaster: A version in between has no conversion.
    """
    for version in range(v, to):
        if (type_, version) not in UPCASTERS:
            raise NoUpcaster(type_, version)
        data = UPCASTERS[type_, version](data)
    return data
