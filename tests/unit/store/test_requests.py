"""What a person asks of a live runner: read in order, once, and whatever else lies there."""

import os
from pathlib import Path
from select import select

import pytest

from spawn.store.requests import Inbox, Request, Unreadable, post, withdraw

AT = "2026-01-27T22:05:32.00000{}Z"


def _ready(inbox: Inbox) -> bool:
    return bool(select([inbox], [], [], 0)[0])


def _ids(found: list[Request | Unreadable]) -> list[str]:
    return [request.id for request in found]


def test_a_request_wakes_the_runner_and_is_read_once(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    assert not _ready(inbox)
    sent = post(tmp_path, "cancel", by="ana@host", at=AT.format(1))
    assert _ready(inbox)
    assert inbox.read() == [sent]
    assert not _ready(inbox)
    assert inbox.read() == []


def test_a_request_is_durable_before_it_has_a_name_and_its_name_before_the_runner_wakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox(tmp_path)
    synced: list[tuple[str, int, bool]] = []

    def fsync(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        synced.append((path.name, len(list(tmp_path.glob("*.json"))), _ready(inbox)))

    monkeypatch.setattr(os, "fsync", fsync)
    sent = post(tmp_path, "cancel", by="ana", at=AT.format(1))
    assert synced == [(f".{sent.id}.part", 0, False), (tmp_path.name, 1, False)]


def test_requests_that_came_before_the_runner_are_read_oldest_first(tmp_path: Path) -> None:
    sent = [post(tmp_path / "r", "reset", by="ana", at=AT.format(at)) for at in (3, 1, 2)]
    found = Inbox(tmp_path / "r").read()
    assert _ids(found) == sorted(request.id for request in sent)


def test_a_request_is_there_for_the_next_runner_until_it_is_answered(tmp_path: Path) -> None:
    sent = post(tmp_path, "cancel", by="ana", at=AT.format(1))
    first, second = Inbox(tmp_path), Inbox(tmp_path)
    assert first.read() == second.read() == [sent]
    second.done(sent.id)
    assert Inbox(tmp_path).read() == []
    second.done(sent.id)


def test_a_request_that_is_withdrawn_before_it_is_read_was_never_there(tmp_path: Path) -> None:
    sent = post(tmp_path, "cancel", by="ana", at=AT.format(1))
    withdraw(tmp_path, sent.id)
    withdraw(tmp_path, sent.id)
    assert Inbox(tmp_path).read() == []


def test_files_that_are_no_requests_are_told_apart(tmp_path: Path) -> None:
    good = post(tmp_path, "reset", by="ana", at=AT.format(1))
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text('{"id": "b", "kind": "explode", "by": "eve"}')
    (tmp_path / "c.json").write_bytes((tmp_path / f"{good.id}.json").read_bytes())
    (tmp_path / "d.json").mkdir()
    (tmp_path / ".e.part").write_text("{}")
    (tmp_path / "notes.txt").write_text("hello")
    found = Inbox(tmp_path).read()
    assert {type(each) for each in found if each.id != good.id} == {Unreadable}
    assert set(_ids(found)) == {good.id, "a", "b", "c", "d"}


def test_whatever_stands_where_the_pipe_should_be_makes_room_for_it(tmp_path: Path) -> None:
    (tmp_path / "wake").write_text("not a pipe")
    inbox = Inbox(tmp_path)
    post(tmp_path, "cancel", by="ana", at=AT.format(1))
    assert _ready(inbox)


def test_a_full_pipe_does_not_hold_up_who_asks(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    fd = os.open(tmp_path / "wake", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(fd, bytes(4096))
    except BlockingIOError:
        pass
    finally:
        os.close(fd)
    sent = post(tmp_path, "cancel", by="ana", at=AT.format(1))
    assert inbox.read() == [sent]
