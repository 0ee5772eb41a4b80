"""Events as lines: canonical when written, tolerant when read."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.arbitrary import events
from tests.support.logs import LogBuilder, owner, resumed
from tests.support.soak import scaled

from spawn.core.domain.codec import MAX_LINE, decode, encode, valid_utf8
from spawn.core.domain.events import (
    TYPES,
    Data,
    Draft,
    Event,
    JobCompleted,
    JobFailed,
    QueueFailed,
    QueueResumed,
    to_event,
)
from spawn.core.errors import UnreadableEvent

LINE = b'{"at":"2026-01-27T22:05:32.000000Z","data":{},"epoch":1,"queue_id":"q","seq":7,'


def _sealed(data: Data, **where: Any) -> Event[Data]:
    draft = Draft(data, **where)
    return to_event(draft, seq=7, queue_id="q", epoch=1, at="2026-01-27T22:05:32.000000Z")


def _line(
    type_: str, v: int = 1, *, data: dict[str, object] | None = None, **more: object
) -> bytes:
    event = {"seq": 7, "queue_id": "q", "type": type_, "v": v, "at": "x", "epoch": 1}
    return json.dumps({**event, "data": data or {}, **more}).encode()


@pytest.mark.parametrize("cls", TYPES.values(), ids=TYPES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_decode_is_the_inverse_of_encode(cls: type[Data], data: st.DataObject) -> None:
    event = data.draw(events(cls))
    line = encode(event)
    assert decode(line) == event
    assert decode(line, event.type.encode()) == event
    assert decode(line, b"QueueFailed") == event, "a wrong hint costs only time"
    assert encode(decode(line) or event) == line


@settings(max_examples=scaled(37, 150), deadline=None)
@given(events())
def test_a_line_is_canonical(event: Event[Data]) -> None:
    line = encode(event)
    text = line.decode("utf-8")
    again = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert json.loads(again) == json.loads(text)
    assert list(_keys(json.loads(text))) == list(_keys(json.loads(again)))
    assert len(line) == len(msgspec.json.encode(msgspec.json.decode(line))), "no spaces"
    assert b"\n" not in line
    assert b"\r" not in line


def _keys(value: Any) -> Any:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def test_a_line_has_this_format() -> None:
    event = _sealed(JobCompleted(exit_code=0, wall_seconds=1.5), job_id="train", attempt=2)
    assert encode(event) == (
        b'{"at":"2026-01-27T22:05:32.000000Z","attempt":2,"data":{"exit_code":0,'
        b'"wall_seconds":1.5},"epoch":1,"job_id":"train","queue_id":"q","seq":7,'
        b'"type":"JobCompleted","v":1}'
    )


def test_a_line_has_at_most_64_kib() -> None:
    def event(size: int) -> Event[Data]:
        return _sealed(QueueFailed(reason="jobs", detail="x" * size))

    room = MAX_LINE - len(encode(event(1))) + 1
    assert len(encode(event(room))) == MAX_LINE == 65536
    with pytest.raises(ValueError, match="65537"):
        encode(event(room + 1))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_cannot_be_read_back_is_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="JobCompleted"):
        encode(_sealed(JobCompleted(wall_seconds=number), job_id="a"))


def test_unknown_fields_are_ignored_at_any_level() -> None:
    line = _line("JobFailed", data={"why": "x", "mood": "sad", "more": {"a": [1]}}, weather="fine")
    event = decode(line)
    assert event is not None
    assert event.data == JobFailed(why="x")
    assert decode(line, b"JobFailed") == event


@pytest.mark.parametrize("type_", [None, b"JobPraised"])
def test_an_unknown_type_that_is_a_note_is_skipped(type_: bytes | None) -> None:
    assert decode(_line("JobPraised", note=True), type_) is None


def test_an_unknown_type_is_rejected_with_the_version_that_wrote_it() -> None:
    with pytest.raises(UnreadableEvent) as caught:
        decode(_line("JobPraised"), b"JobPraised", writer="0.9.1")
    error = caught.value
    assert (error.seq, error.why) == (7, "spawn 0.9.1 wrote it")
    assert "JobPraised" in error.what
    assert "0.9.1" in error.hint


def test_a_newer_version_of_a_type_is_rejected_with_the_version_that_wrote_it() -> None:
    for type_ in (None, b"JobFailed"):
        with pytest.raises(UnreadableEvent) as caught:
            decode(_line("JobFailed", 2, data={"why": "x"}), type_, writer="0.9.1")
        assert caught.value.why == "spawn 0.9.1 wrote it"
        assert "JobFailed version 2" in caught.value.what


def test_a_newer_version_of_a_note_is_rejected() -> None:
    with pytest.raises(UnreadableEvent):
        decode(_line("RequestRefused", 2, note=True, data={"request": "x", "why": "y"}))


def test_a_log_started_by_a_newer_version_is_rejected_with_that_version() -> None:
    with pytest.raises(UnreadableEvent) as caught:
        decode(_line("QueueSubmitted", 2, data={"version": "0.9.1"}))
    assert caught.value.why == "spawn 0.9.1 wrote it"


def test_a_takeover_by_a_newer_version_is_rejected_with_that_version() -> None:
    """0.1.0 wrote the earlier events; 0.9.1 resumed the queue, as its event says."""
    with pytest.raises(UnreadableEvent) as caught:
        decode(_line("QueueResumed", 2, data={"version": "0.9.1"}), writer="0.1.0")
    assert caught.value.why == "spawn 0.9.1 wrote it"


def test_an_event_without_a_required_field_names_it() -> None:
    with pytest.raises(UnreadableEvent) as caught:
        decode(_line("QueueFailed"), b"QueueFailed")
    assert caught.value.seq == 7
    assert "reason" in caught.value.why


def test_start_and_resumption_are_distinguished() -> None:
    log = LogBuilder()
    log.queue(owner(), resumed())
    first, second = (decode(line) for _, line, _ in log.entries)
    assert first is not None
    assert second is not None
    assert not isinstance(first.data, QueueResumed)
    assert isinstance(second.data, QueueResumed)


GARBAGE = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=scaled(50, 200), deadline=None)
@given(GARBAGE, st.sampled_from([None, b"JobStarted", b"Nonsense", b""]))
def test_garbage_is_an_unreadable_event(line: bytes, type_: bytes | None) -> None:
    with pytest.raises(UnreadableEvent):
        decode(line, type_)


@settings(max_examples=scaled(75, 300), deadline=None)
@given(data=st.data(), event=events())
def test_a_damaged_line_is_an_event_or_unreadable(data: st.DataObject, event: Event[Data]) -> None:
    line = bytearray(encode(event))
    plain = [place for place, byte in enumerate(line) if byte < 128]
    place = plain[data.draw(st.integers(0, len(plain) - 1))]
    line[place] = data.draw(st.integers(0, 127))
    with suppress(UnreadableEvent):
        decode(bytes(line), event.type.encode())


@pytest.mark.parametrize("type_", [None, b"QueueFailed"])
def test_a_line_that_is_not_utf_8_is_unreadable(type_: bytes | None) -> None:
    line = _line("QueueFailed", data={"reason": "jobs", "detail": "x"}).replace(b"x", b"\xff")
    with pytest.raises(UnreadableEvent):
        decode(line, type_)


@pytest.mark.parametrize("line", [b"[" * 100_000, LINE.replace(b"{}", b'{"a":' + b"[" * 100_000)])
def test_a_line_that_is_nested_too_deeply_is_unreadable(line: bytes) -> None:
    for type_ in (None, b"QueueFailed"):
        with pytest.raises(UnreadableEvent):
            decode(line, type_)


@settings(deadline=None)
@given(st.binary(max_size=30))
def test_invalid_bytes_become_valid_text_and_valid_ones_stay(data: bytes) -> None:
    text = valid_utf8(data)
    text.encode("utf-8")
    try:
        assert text == data.decode("utf-8")
    except UnicodeDecodeError:
        assert "\ufffd" in text


@settings(deadline=None)
@given(st.text(st.characters(), max_size=30))
def test_foreign_text_becomes_text_that_can_be_encoded(text: str) -> None:
    assert encode(_sealed(QueueFailed(reason="jobs", detail=valid_utf8(text))))


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    assert valid_utf8("a\udc80b") == "a\ufffdb"
