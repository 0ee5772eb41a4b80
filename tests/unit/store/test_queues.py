"""The queues of a machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

import pytest
from tests.support.disks import inodes, record_syncs
from tests.support.users import public_folder, unprivileged

from spawn.core.errors import QueueNotFound, SpawnError
from spawn.store import queues
from spawn.store.queue_dir import lock
from spawn.store.queue_dir.paths import QueuePaths, Roots


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """A machine without queues."""
    return Roots(tmp_path / "state", tmp_path / "log", tmp_path / "cache")


def _make(roots: Roots, queue_id: str, *, age: int) -> QueuePaths:
    """Create a queue that is `age` seconds old."""
    paths = queues.create_folder(roots, queue_id)
    paths.events.touch()
    held = lock.acquire(paths.lock)
    assert held is not None
    os.close(held)
    os.utime(paths.lock, (1_700_000_000 - age,) * 2)
    return paths


@contextmanager
def _running(paths: QueuePaths) -> Iterator[None]:
    held = lock.acquire(paths.lock)
    assert held is not None
    yield
    os.close(held)


def test_a_queues_folder_is_created_with_its_parents_and_may_exist(roots: Roots) -> None:
    paths = queues.create_folder(roots, "nightly")
    assert paths.folder.is_dir()
    (paths.folder / "file").touch()
    assert queues.create_folder(roots, "nightly") == paths
    assert (paths.folder / "file").exists()


def test_the_folder_and_its_parents_are_flushed_even_if_they_exist(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(queues, "flush_to_disk", synced.append)
    queues.create_folder(roots, "nightly")
    home = roots.state.parent
    assert synced == [home.parent, home, roots.state, roots.queues]


def test_a_folder_is_set_aside_durably_under_a_free_name(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("q.fenced-2", "q.fenced-2-2"):
        paths = queues.create_folder(roots, "q")
        (paths.folder / "events.db").write_text(name)
        synced = record_syncs(monkeypatch)
        kept = queues.put_aside(paths, 2)
        assert (kept.name, (kept / "events.db").read_text()) == (name, name)
        assert synced == inodes(roots.queues)


def test_a_queue_exists_once_it_has_a_log(roots: Roots) -> None:
    paths = queues.create_folder(roots, "nightly")
    with pytest.raises(QueueNotFound) as caught:
        queues.find_queue(roots, "nightly")
    assert caught.value.exit_code == 3
    assert "nightly" in caught.value.what
    assert caught.value.hint
    paths.events.touch()
    assert queues.find_queue(roots, "nightly") == paths


def test_queues_with_a_log_are_listed_newest_first(roots: Roots) -> None:
    assert list(queues.list_queue_ids(roots)) == []
    _make(roots, "old", age=300)
    _make(roots, "new", age=1)
    _make(roots, "middle", age=20)
    queues.create_folder(roots, "without-a-log")
    (roots.queues / "a-file").touch()
    assert list(queues.list_queue_ids(roots)) == ["new", "middle", "old"]


def test_reading_or_resuming_does_not_make_a_queue_newer(roots: Roots) -> None:
    paths = _make(roots, "old", age=300)
    _make(roots, "new", age=1)
    with _running(paths):
        assert lock.is_held(paths.lock)
    paths.events.write_bytes(b"x")
    (paths.folder / "jobs").mkdir()
    assert list(queues.list_queue_ids(roots)) == ["new", "old"]


def test_local_means_the_newest_queue_when_none_runs(roots: Roots) -> None:
    _make(roots, "old", age=300)
    _make(roots, "new", age=1)
    assert queues.choose_local(roots) == ("new", [])


def test_local_means_the_running_queue_though_another_is_newer(roots: Roots) -> None:
    old = _make(roots, "old", age=300)
    _make(roots, "new", age=1)
    with _running(old):
        assert queues.choose_local(roots) == ("old", [])


def test_local_means_the_newest_running_queue_and_the_others_are_named(roots: Roots) -> None:
    with (
        _running(_make(roots, "a", age=3)),
        _running(_make(roots, "b", age=2)),
        _running(_make(roots, "c", age=9)),
    ):
        _make(roots, "new", age=1)
        assert queues.choose_local(roots) == ("b", ["a", "c"])


def test_without_a_queue_local_is_not_found(roots: Roots) -> None:
    with pytest.raises(QueueNotFound, match="no queue was ever run") as caught:
        queues.choose_local(roots)
    assert "spawn queue run" in caught.value.hint


def test_only_the_owner_can_access_a_queues_folder(roots: Roots) -> None:
    before = os.umask(0)
    try:
        paths = queues.create_folder(roots, "nightly")
    finally:
        os.umask(before)
    assert paths.folder.stat().st_mode & 0o777 == 0o700
    paths.folder.chmod(0o755)  # as created by an earlier version
    queues.restrict_access(paths)
    assert paths.folder.stat().st_mode & 0o777 == 0o700


def test_a_queue_of_another_user_is_reported() -> None:
    if os.getuid() != 0:
        pytest.skip("only root can be two users")
    folder = public_folder()
    try:
        roots = Roots(folder / "state", folder / "log", folder / "cache")
        _make(roots, "nightly", age=0)

        def look() -> None:
            with pytest.raises(SpawnError, match="belongs to another user") as caught:
                queues.find_queue(roots, "nightly")
            assert "run spawn as the user root" in caught.value.hint
            assert list(queues.list_queue_ids(roots)) == []

        assert unprivileged(look) == ""
    finally:
        rmtree(folder)
