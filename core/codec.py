"""An event as one line of canonical JSON, and back.

The exact bytes are stored, hashed, replicated and served; nobody encodes an event twice.
"""

import re
from typing import Any

import msgspec
from msgspec import Struct

from spawn.core.errors import UnreadableEvent
from spawn.core.events import TYPES, Data, Event
from spawn.core.upcast import NoUpcaster, upcast

MAX_LINE = 64 * 1024
"""Bytes that a line may have, so that one event never fills a reader's memory."""

_encoder = msgspec.json.Encoder(order="sorted")
_decoders: dict[bytes, tuple[msgspec.json.Decoder[Event[Data]], str, int]] = {
    name.encode(): (msgspec.json.Decoder(Event[cls]), name, cls.VERSION)  # type: ignore[valid-type]
    for name, cls in TYPES.items()
}


class _Head(Struct):
    """What every event has, whatever its type and version."""

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


def clean(text: bytes | str) -> str:
    """Make foreign text valid UTF-8: what cannot be read becomes U+FFFD."""
    if isinstance(text, bytes):
        return text.decode("utf-8", "replace")
    return _SURROGATE.sub("\ufffd", text)


def encode(event: Event[Data]) -> bytes:
    """Encode an event: UTF-8, sorted keys, no spaces, no line break.

    Raises:
        ValueError: The line would be longer than `MAX_LINE`, or would not be read back the same.
    """
    line = _encoder.encode(event)
    if fast(line, event.type.encode()) != event:
        raise ValueError(f"{event.type} holds what JSON cannot, and would not be read back")
    if len(line) > MAX_LINE:
        raise ValueError(f"{event.type} would be {len(line)} bytes; a line has at most {MAX_LINE}")
    return line


def decode(line: bytes, type_: bytes | None = None, *, writer: str = "") -> Event[Data] | None:
    """Decode a line; an older version is lifted to today's.

    Args:
        line: The exact bytes, without a line break.
        type_: The type that the line is expected to have; spares a look at it.
        writer: The version of spawn that wrote the line, for the error.

    Returns:
        The event, or None for a note of a type that is unknown here.

    Raises:
        UnreadableEvent: Not an event, of an unknown type, or of a newer version.
    """
    return fast(line, type_) or _decode_slowly(line, writer)


def fast(line: bytes, type_: bytes | None) -> Event[Data] | None:
    """Decode a line of the type that it is expected to have; None when it needs a closer look."""
    try:
        decoder, name, version = _decoders[type_]  # type: ignore[index]
        event = decoder.decode(line)
    except (KeyError, *_NOT_AN_EVENT):
        return None
    return event if event.type == name and event.v == version else None


def columns(line: bytes) -> tuple[str, str | None, str]:
    """What a line says of itself, whatever its type and version: `(type, job_id, at)`.

    Raises:
        UnreadableEvent: It is not an event.
    """
    head = _head_of(line)
    return head.type, head.job_id, head.at


def _head_of(line: bytes) -> _Head:
    try:
        return _head.decode(line)
    except _NOT_AN_EVENT as error:
        raise UnreadableEvent("a line is not an event", why=str(error)) from None


def _decode_slowly(line: bytes, writer: str) -> Event[Data] | None:
    head = _head_of(line)
    cls = TYPES.get(head.type)
    if cls is None and head.note:
        return None
    if cls is None or head.v > cls.VERSION:
        version = str(head.data.get("version") or writer or "of another version")
        what = head.type if cls is None else f"{head.type} version {head.v}"
        raise UnreadableEvent(
            f"event {head.seq}: {what} is unknown here",
            seq=head.seq,
            why=f"spawn {version} wrote it",
            hint=f"read this queue with spawn {version}",
        )
    try:
        data = msgspec.convert(upcast(head.type, head.v, head.data, to=cls.VERSION), cls)
    except NoUpcaster:
        why = f"{head.type} never had version {head.v}"
        raise UnreadableEvent(f"event {head.seq} cannot be read", seq=head.seq, why=why) from None
    except Exception as error:  # an upcaster met what its version never wrote
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
