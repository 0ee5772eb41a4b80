"""Events of older versions, converted to the current one."""

import json
from typing import Any

import pytest

from spawn.core.domain import codec
from spawn.core.domain.codec import decode
from spawn.core.domain.events import TYPES, JobFailed
from spawn.core.errors import UnreadableEvent

OLD = json.dumps(
    {
        "seq": 7,
        "queue_id": "q",
        "type": "JobFailed",
        "v": 0,
        "at": "2026-01-27T22:05:32.000000Z",
        "epoch": 1,
        "job_id": "a",
        "attempt": 2,
        "data": {"reason": "it broke", "code": "3"},
    }
).encode()


@pytest.fixture(autouse=True)
def _older_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register two older formats of `JobFailed`."""

    def from_minus_one(data: dict[str, Any]) -> dict[str, Any]:
        return {"reason": data["because"], "code": "3"}

    def from_zero(data: dict[str, Any]) -> dict[str, Any]:
        return {"why": data["reason"], "exit_code": int(data["code"])}

    monkeypatch.setitem(codec.UPCASTERS, ("JobFailed", -1), from_minus_one)
    monkeypatch.setitem(codec.UPCASTERS, ("JobFailed", 0), from_zero)


@pytest.mark.parametrize("type_", [None, b"JobFailed"])
def test_an_old_event_is_converted_to_the_current_version(type_: bytes | None) -> None:
    event = decode(OLD, type_)
    assert event is not None
    assert event.data == JobFailed(why="it broke", exit_code=3)
    assert (event.v, event.seq, event.job_id, event.attempt) == (1, 7, "a", 2)


def test_versions_are_converted_one_by_one() -> None:
    line = OLD.replace(b'"v": 0', b'"v": -1').replace(b'"reason"', b'"because"')
    event = decode(line)
    assert event is not None
    assert event.data == JobFailed(why="it broke", exit_code=3)


def test_an_unknown_version_is_unreadable() -> None:
    with pytest.raises(UnreadableEvent, match="has no version -2"):
        decode(OLD.replace(b'"v": 0', b'"v": -2'))


def test_the_current_version_is_unchanged() -> None:
    data = {"why": "x"}
    assert codec.upcast("JobFailed", 1, data, to=1) is data


@pytest.mark.parametrize(("damage"), [(b'"reason"', b'"raison"'), (b'"3"', b'"x"')])
def test_an_old_event_without_a_field_of_its_version_is_unreadable(
    damage: tuple[bytes, bytes],
) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        decode(OLD.replace(*damage))
    assert "has no version" not in caught.value.why


def test_every_version_since_the_first_can_be_converted() -> None:
    for name, cls in TYPES.items():
        for version in range(1, cls.VERSION):
            assert (name, version) in codec.UPCASTERS
