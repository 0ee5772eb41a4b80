"""Readers of our files neither block on nor follow whatever another process puts in their place."""

import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.support.queues import SECONDS

from spawn.cli.sources.output import FileStream
from spawn.cli.ssh.host_key import HostKey
from spawn.cli.ssh.known_hosts_file import KnownHostsFile, read_text_or_empty
from spawn.cli.ssh.private_keys import read_public_blob
from spawn.core.errors import SpawnError
from spawn.runner import bootstrap
from spawn.runner.process.output import Output
from spawn.runner.session import ownership
from spawn.store import files, json_files
from spawn.store.aws import key_pairs
from spawn.store.log import ownership_time, read, replica_progress
from spawn.store.log.head import HeadNote, heads
from spawn.store.log.replica_progress import ReplicaProgress
from spawn.store.log.write import LogWriter
from spawn.store.objects.folder import FolderStore
from spawn.store.objects.interface import StoreError
from spawn.store.queue_dir import lock, record, requests, troubles
from spawn.store.queue_dir.output import tail
from spawn.store.queue_dir.paths import Roots
from spawn.store.queue_dir.troubles import Board
from spawn.store.results import manifest, output_pieces, upload
from spawn.store.results.restore import RestoreRecord
from spawn.store.results.upload_journal import Journal, Sent

HUGE = 3 * 1024**3


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.mkdir()


def _socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)  # a relative path, as socket paths have a short limit


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, HUGE)


def _deep(path: Path) -> None:
    path.write_bytes(b"[" * 100_000)


NOT_REGULAR = [_fifo, _device, _folder, _socket]


def _opened(path: Path) -> None:
    with read.open_log(path):
        pass


def _log_of(beside: str) -> Callable[[Path], object]:
    """Read a whole log beside a file with the name of one of SQLite's."""

    def reader(path: Path) -> None:
        log = path.with_name("events.db")
        LogWriter(log).close()
        path.rename(log.with_name(log.name + beside))
        _opened(log)

    return reader


def _journal(path: Path) -> object:
    journal = Journal(path.parent)
    journal.note(Sent("a", 1, "b"))
    return journal.find("nothing")


def _record(path: Path) -> object:
    return record.read(path, "t")


def _learned(path: Path) -> object:
    hosts = KnownHostsFile(Roots(path, path, path.parent.parent))
    hosts.add("i-1", [HostKey("ssh-ed25519", b"k")], "test")
    return hosts.keys("i-1")


def _restored(path: Path) -> object:
    from spawn.store.results.restore import UploadedFile, _agrees

    what: Any = {"path": str(path), "name": "x", "mode": 0, "mtime_ns": 0, "inode": 0}
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    return _agrees(path, UploadedFile(size=0, sha256=empty, **what))


def _noted(path: Path) -> object:
    note = HeadNote(path.with_name("events.db"))
    note.write(1, b"")
    note.close()
    return heads(path.with_name("events.db"))


def _troubles(path: Path) -> object:
    Board(path.parent).close()
    return troubles.find(path.parent)


def _restore_record(path: Path) -> object:
    job: Any = SimpleNamespace(token="t", upstream_resets=0)
    return RestoreRecord(path.parent).add(job)


def _combined(path: Path) -> object:
    (path.parent / "out").mkdir()
    return Output(str(path.parent / "out"), str(path)).open_job_log()


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "lag": (replica_progress.NAME, lambda path: replica_progress.load_progress(path.parent)),
    "owning": (ownership_time.NAME, lambda path: ownership_time.load_owned_time(path.parent, 1)),
    "note": ("events.db-head", _noted),
    "troubles": (troubles.NAME, _troubles),
    "restored": ("restored", _restore_record),
    "kept": ("x.json", lambda path: json_files.load_or_none(path, ReplicaProgress)),
    "manifest": (manifest.NAME, lambda path: manifest.read_manifest(path.parent)),
    "journal": ("uploaded", _journal),
    "saved": ("saved", lambda path: upload._mark(path.parent)),
    "record": ("record", _record),
    "tail": ("stdout.log", lambda path: tail(path, 3)),
    "logs": ("stdout.log", FileStream),
    "piece": (
        "stdout.log",
        lambda path: output_pieces.upload_pieces(None, "p", "stdout.log", path, 0),
    ),  # type: ignore[arg-type]
    "result": ("x", _restored),
    "put": ("x", lambda path: FolderStore(path.parent / "o").put_file("k", path)),
    "object": ("x", lambda path: FolderStore(path.parent).read("x")),
    "open object": ("x", lambda path: FolderStore(path.parent).open("x")),
    "lease": ("x", lambda path: FolderStore(path.parent).replace("x", b"", etag="e")),
    "held": ("runner.lock", lock.is_held),
    "lock": ("runner.lock", lock.acquire),
    "runner.log": ("runner.log", bootstrap._redirect_stderr),
    "log": ("events.db", _opened),
    "log to write": ("events.db", LogWriter),
    "wal": ("x", _log_of("-wal")),
    "shm": ("x", _log_of("-shm")),
    "journal of SQLite": ("x", _log_of("-journal")),
    "empty log": ("events.db", read.is_empty),
    "known hosts": ("known_hosts", read_text_or_empty),
    "own hosts": ("known_hosts", _learned),
    "host key": ("ssh_host_ed25519_key.pub", ownership._read_key),
    "key": ("id_ed25519", read_public_blob),
    "key's half": ("id.pub", lambda path: read_public_blob(path.with_suffix(""))),
    "own key": ("id_ed25519", key_pairs._public_key),
    "request": ("x.json", lambda path: requests._load(path) is None),
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder; a reader that takes too long in it is interrupted."""

    def late(*_: object) -> None:
        raise AssertionError("a reader waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(int(SECONDS))
    folder = tmp_path / "ssh"
    folder.mkdir()
    yield folder
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _nothing(reader: Callable[[Path], object], path: Path) -> bool:
    """Whether a reader has returned nothing or raised an error."""
    try:
        return not reader(path)
    except (OSError, SpawnError, StoreError, msgspec.DecodeError):
        return True


@pytest.mark.parametrize("make", NOT_REGULAR)
@pytest.mark.parametrize("reader", READERS)
def test_readers_reject_everything_but_regular_files(
    place: Path, reader: str, make: Callable[[Path], None]
) -> None:
    name, read_it = READERS[reader]
    make(place / name)
    assert _nothing(read_it, place / name)


@pytest.mark.parametrize("make", [_huge, _deep])
@pytest.mark.parametrize(
    "reader",
    ["lag", "owning", "note", "kept", "manifest", "journal", "known hosts", "key", "request"],
)
def test_readers_reject_files_that_are_too_large_or_too_deep(
    place: Path, reader: str, make: Callable[[Path], None]
) -> None:
    name, read_it = READERS[reader]
    make(place / name)
    if (reader, make) != ("known hosts", _deep):  # these are text
        assert _nothing(read_it, place / name)


def test_the_users_files_may_be_links_and_ours_may_not(place: Path) -> None:
    (place / "there").write_bytes(b"x")
    (place / "link").symlink_to("there")
    assert read_text_or_empty(place / "link") == "x"
    with pytest.raises(files.NotRegular, match="not a regular file"):
        files.read_small(place / "link")


def test_a_replaced_file_is_complete_and_leaves_no_temporary_file(place: Path) -> None:
    _fifo(place / "x")
    files.replace_file(place / "x", b"1", mode=0o600, durable=True)
    files.replace_file(place / "x", b"2")
    assert (place / "x").read_bytes() == b"2"
    (place / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        files.replace_file(place / "folder", b"3")
    assert sorted(each.name for each in place.iterdir()) == ["folder", "x"]


def test_a_file_in_proc_without_a_size_is_read_completely() -> None:
    assert b"Umask" in files.read_small("/proc/self/status")
    with pytest.raises(OSError, match="larger than 5 bytes"):
        files.read_small("/proc/self/status", 5)
