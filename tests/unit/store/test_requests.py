"""Requests to a live runner are read in order and once, despite other files among them."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from select import select

import pytest

from spawn.core.domain.codec import encode
from spawn.core.domain.events import Draft, RequestRefused, to_event
from spawn.store.queue_dir.requests import (
    Request,
    RequestInbox,
    UnreadableRequest,
    post_request,
    withdraw,
)

AT = "2026-01-27T22:05:32.00000{}Z"


def _ready(inbox: RequestInbox) -> bool:
    return bool(select([inbox], [], [], 0)[0])


def _ids(found: list[Request | UnreadableRequest]) -> list[str]:
    return [request.id for request in found]


def test_a_request_wakes_the_runner_and_is_read_once(tmp_path: Path) -> None:
    inbox = RequestInbox(tmp_path)
    assert not _ready(inbox)
    sent = post_request(tmp_path, "cancel", by="ana@host", at=AT.format(1))
    assert _ready(inbox)
    assert inbox.read() == [sent]
    assert not _ready(inbox)
    assert inbox.read() == []


def test_a_request_and_its_name_are_durable_before_the_runner_wakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = RequestInbox(tmp_path)
    synced: list[tuple[str, int, bool]] = []

    def fsync(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        synced.append((path.name, len(list(tmp_path.glob("*.json"))), _ready(inbox)))

    monkeypatch.setattr(os, "fsync", fsync)
    sent = post_request(tmp_path, "cancel", by="ana", at=AT.format(1))
    assert synced == [(f".{sent.id}.part", 0, False), (tmp_path.name, 1, False)]


def test_requests_older_than_the_runner_are_read_oldest_first(tmp_path: Path) -> None:
    sent = [post_request(tmp_path / "r", "reset", by="ana", at=AT.format(at)) for at in (3, 1, 2)]
    found = RequestInbox(tmp_path / "r").read()
    assert _ids(found) == sorted(request.id for request in sent)


def test_an_unanswered_request_is_kept_for_the_next_runner(tmp_path: Path) -> None:
    sent = post_request(tmp_path, "cancel", by="ana", at=AT.format(1))
    first, second = RequestInbox(tmp_path), RequestInbox(tmp_path)
    assert first.read() == second.read() == [sent]
    second.done(sent.id)
    assert RequestInbox(tmp_path).read() == []
    second.done(sent.id)


def test_a_request_withdrawn_before_it_is_read_has_no_effect(tmp_path: Path) -> None:
    sent = post_request(tmp_path, "cancel", by="ana", at=AT.format(1))
    withdraw(tmp_path, sent.id)
    withdraw(tmp_path, sent.id)
    assert RequestInbox(tmp_path).read() == []


def test_invalid_files_are_distinguished_from_requests(tmp_path: Path) -> None:
    good = post_request(tmp_path, "reset", by="ana", at=AT.format(1))
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text('{"id": "b", "kind": "explode", "by": "eve"}')
    (tmp_path / "c.json").write_bytes((tmp_path / f"{good.id}.json").read_bytes())
    (tmp_path / "d.json").mkdir()
    (tmp_path / ".e.part").write_text("{}")
    (tmp_path / "notes.txt").write_text("hello")
    found = RequestInbox(tmp_path).read()
    assert {type(each) for each in found if each.id != good.id} == {UnreadableRequest}
    assert set(_ids(found)) == {good.id, "a", "b", "c", "d"}


def _nothing(path: Path) -> None:
    path.touch()


def _link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _folder_with_a_file(path: Path) -> None:
    path.mkdir()
    (path / "x").touch()


def _deep(path: Path) -> None:
    path.write_bytes(b"[" * 100_000)


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 3 * 1024**3)


def _long(path: Path) -> None:
    path.write_text(json.dumps({"id": path.stem, "kind": "cancel", "by": "x" * 200_000}))


def _half_a_character(path: Path) -> None:
    path.write_text(json.dumps({"id": path.stem, "kind": "cancel", "by": "\ud800"}))


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, _nothing, _link, _folder_with_a_file, _deep, _huge, _long, _half_a_character],
)
@pytest.mark.parametrize("name", [b"x.json", b"caf\xe9.json"])
def test_no_file_blocks_the_runner_and_each_is_reported_once(
    tmp_path: Path, make: Callable[[Path], None], name: bytes
) -> None:
    odd = tmp_path / os.fsdecode(name)
    make(odd)
    inbox = RequestInbox(tmp_path)
    (found,) = inbox.read()
    assert isinstance(found, UnreadableRequest)
    event = Draft(RequestRefused(request=found.id, why=found.why))
    encode(to_event(event, seq=1, queue_id="q", epoch=1, at=AT.format(1)))
    inbox.done(found.id)
    assert odd.exists() == (make is _folder_with_a_file), "removable files are removed"
    assert inbox.read() == []
    sent = post_request(tmp_path, "cancel", by="ana", at=AT.format(1))
    assert inbox.read() == [sent]


@pytest.mark.parametrize("name", ["r", "r/wake"])
@pytest.mark.parametrize("make", [_nothing, _link, _folder_with_a_file])
def test_anything_in_place_of_the_folder_or_its_pipe_does_not_stop_the_runner(
    tmp_path: Path, make: Callable[[Path], None], name: str
) -> None:
    if name == "r/wake":
        (tmp_path / "r").mkdir()
    make(tmp_path / name)
    inbox = RequestInbox(tmp_path / "r")
    assert not _ready(inbox)
    assert inbox.read() == []


def test_anything_in_place_of_the_pipe_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "wake").write_text("not a pipe")
    inbox = RequestInbox(tmp_path)
    post_request(tmp_path, "cancel", by="ana", at=AT.format(1))
    assert _ready(inbox)


def test_a_full_pipe_does_not_block_a_request(tmp_path: Path) -> None:
    inbox = RequestInbox(tmp_path)
    fd = os.open(tmp_path / "wake", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(fd, bytes(4096))
    except BlockingIOError:
        pass
    finally:
        os.close(fd)
    sent = post_request(tmp_path, "cancel", by="ana", at=AT.format(1))
    assert inbox.read() == [sent]
