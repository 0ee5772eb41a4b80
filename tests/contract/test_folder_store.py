"""Guarantees of the folder store beyond the contract."""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.disks import fill, inodes, record_syncs, small_disk

from spawn.store.objects.folder import FolderStore
from spawn.store.objects.interface import Unavailable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder for objects, not yet created."""
    return tmp_path / "state" / "objects" / "nightly"


@pytest.fixture
def store(root: Path) -> FolderStore:
    """A store without objects."""
    return FolderStore(root)


def _objects(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if not path.is_dir()
    }


def test_only_the_put_objects_are_in_the_folder_under_their_keys(
    store: FolderStore, root: Path
) -> None:
    assert store.put("train/attempts/1.1/exit_code", b"0\n") == sha256(b"0\n").hexdigest()
    assert store.put("empty", b"", durable=False) == sha256(b"").hexdigest()
    assert _objects(root) == {"train/attempts/1.1/exit_code": b"0\n", "empty": b""}


def test_the_returned_size_and_hash_are_those_of_the_stored_bytes(
    store: FolderStore, root: Path, tmp_path: Path
) -> None:
    data = os.urandom(3 * 1024 * 1024 + 17)
    (tmp_path / "model.pth").write_bytes(data)
    assert store.put_file("results/model.pth", tmp_path / "model.pth") == (
        len(data),
        sha256(data).hexdigest(),
    )
    assert _objects(root) == {"results/model.pth": data}


def test_a_stored_file_does_not_change_with_its_source(
    store: FolderStore, root: Path, tmp_path: Path
) -> None:
    source = tmp_path / "model.pth"
    source.write_bytes(b"one")
    store.put_file("model.pth", source)
    source.write_bytes(b"two")
    assert _objects(root) == {"model.pth": b"one"}


def test_a_linked_file_outlives_its_source(store: FolderStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "stdout.log").write_bytes(b"hello\n")
    store.link("logs/stdout.log", tmp_path / "stdout.log")
    (tmp_path / "stdout.log").unlink()
    assert _objects(root) == {"logs/stdout.log": b"hello\n"}


def test_a_file_on_another_disk_is_copied_instead_of_linked(
    store: FolderStore, root: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", kib=64) as disk:
        (disk / "stdout.log").write_bytes(b"hello\n")
        store.link("stdout.log", disk / "stdout.log")
    assert _objects(root) == {"stdout.log": b"hello\n"}


def _put(store: FolderStore, source: Path) -> object:
    return store.put("key", source.read_bytes())


def _put_file(store: FolderStore, source: Path) -> object:
    return store.put_file("key", source)


def _link(store: FolderStore, source: Path) -> object:
    return store.link("key", source)


WAYS = [_put, _put_file, _link]


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_nothing_is_ever_overwritten(
    store: FolderStore,
    root: Path,
    tmp_path: Path,
    first: Callable[[FolderStore, Path], object],
    second: Callable[[FolderStore, Path], object],
) -> None:
    (tmp_path / "one").write_bytes(b"one")
    (tmp_path / "two").write_bytes(b"two")
    first(store, tmp_path / "one")
    second(store, tmp_path / "two")
    assert _objects(root) == {"key": b"one"}


def test_a_missing_source_leaves_no_object(store: FolderStore, root: Path) -> None:
    for way in (_put_file, _link):
        with pytest.raises(FileNotFoundError):
            way(store, root / "none")
    assert _objects(root) == {}


def test_a_full_disk_leaves_no_partial_object(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=256) as disk:
        store = FolderStore(disk / "objects")
        store.put("small", b"x")
        ballast = fill(disk)
        with pytest.raises(Unavailable, match="No space"):
            store.put("large", b"y" * 100_000)
        assert _objects(disk / "objects") == {"small": b"x"}
        ballast.unlink()
        store.put("large", b"y" * 100_000)
        assert _objects(disk / "objects")["large"] == b"y" * 100_000


def test_the_displayed_location_is_an_absolute_path_with_a_slash(
    store: FolderStore, root: Path
) -> None:
    assert store.location == f"{root}/"


def test_a_key_may_end_in_the_longest_file_name(store: FolderStore, root: Path) -> None:
    name = "x" * 255
    store.put(f"results/{name}", b"x")
    assert _objects(root) == {f"results/{name}": b"x"}


def test_the_returned_hash_is_that_of_the_existing_object(store: FolderStore, root: Path) -> None:
    store.put("key", b"one")
    assert store.put("key", b"two") == sha256(b"one").hexdigest()


@pytest.mark.parametrize("write", [FolderStore.create, FolderStore.put])
def test_a_durable_object_is_flushed_with_its_name_and_its_parent_folders(
    store: FolderStore,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[FolderStore, str, bytes], str],
) -> None:
    synced = record_syncs(monkeypatch)
    write(store, "results/model.pth", b"x")
    key = root / "results/model.pth"
    assert synced == inodes(key, key.parent, root, root.parent)


def test_a_replaced_object_is_flushed_with_its_name(
    store: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = store.create("lease.json", b"1")
    synced = record_syncs(monkeypatch)
    store.replace("lease.json", b"2", etag=etag)
    assert synced == inodes(root / "lease.json", root)


def test_stored_files_are_flushed_together(
    store: FolderStore, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.pth").write_bytes(b"x")
    synced = record_syncs(monkeypatch)
    store.put_file("a/1", tmp_path / "model.pth")
    store.put_file("a/2", tmp_path / "model.pth")
    assert synced == []
    store.flush()
    a = root / "a"
    assert synced == inodes(a / "1", a / "2", a, root, root.parent)
    store.flush()
    assert len(synced) == 5, "each is flushed only once"
