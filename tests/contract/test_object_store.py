"""The contract of every object store, for each server."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Barrier

import pytest
from tests.contract.subjects import (
    COMPLETES_ONCE,
    CREATES_ONCE,
    KNOWS_US,
    REPLACES_IF,
    Subject,
)
from tests.support.s3 import CREDENTIALS
from tests.support.wait import wait_until

from spawn.store.objects.interface import (
    PAGE,
    AccessDenied,
    BucketNotFound,
    ETagMismatch,
    ObjectExists,
    ObjectNotFound,
    ObjectStore,
    Unavailable,
    list_all,
)
from spawn.store.objects.s3 import PART_BYTES, S3Store

ODD = [
    "with space",
    "plus+plus",
    "per%cent%41",
    "späte/日本語/🚂",
    "question?x=1&y=2",
    "#hash",
    "quote'\"",
    "<angle>&amp;",
    "back\\slash",
    "~tilde*()!,;:@$=",
    "tab\tand\x01control",
    "…" * 80,
]


@pytest.fixture
def store(subject: Subject) -> ObjectStore:
    """A store without objects."""
    return subject.store


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file of three parts with a short last one, and its SHA-256."""
    data = os.urandom(2 * PART_BYTES + 12345)
    path = tmp_path_factory.mktemp("large") / "model.pth"
    path.write_bytes(data)
    return path, sha256(data).hexdigest()


# create


def test_a_created_object_is_read_back_with_the_returned_etag(
    store: ObjectStore,
) -> None:
    data = bytes(range(256)) * 10
    etag = store.create("a/b/c.bin", data)
    found = store.read("a/b/c.bin")
    assert (found.data, found.etag) == (data, etag)


def test_a_key_is_created_once(subject: Subject) -> None:
    subject.require(CREATES_ONCE)
    subject.store.create("k", b"one")
    for again in (subject.store, subject.reopen()):
        with pytest.raises(ObjectExists):
            again.create("k", b"one")
    assert subject.store.read("k").data == b"one"


def test_one_of_eight_concurrent_creations_succeeds(subject: Subject) -> None:
    subject.require(CREATES_ONCE)
    stores = [subject.reopen() for _ in range(8)]
    for store in stores:
        store.has("warm")
    for n in range(5):
        key = f"{n:012d}.jsonl"
        _race(subject, key, [partial(store.create, key) for store in stores])


def _race(subject: Subject, key: str, writes: list[Callable[[bytes], str]]) -> None:
    """Write concurrently; at most one write succeeds, or one of unknown outcome took effect."""
    start = Barrier(len(writes))

    def write(number: int) -> str:
        start.wait()
        try:
            writes[number](str(number).encode())
        except (ObjectExists, ETagMismatch):
            return "lost"
        except Unavailable:  # Ceph answers some losers with 500
            return "unknown"
        return "won"

    with ThreadPoolExecutor(len(writes)) as pool:
        ends = list(pool.map(write, range(len(writes))))
    there = subject.store.read(key).data.decode()
    assert there.isdigit(), f"{there}: {ends}"
    assert ends.count("won") <= 1, f"{there}: {ends}"
    assert ends[int(there)] == ("won" if "won" in ends else "unknown"), f"{there}: {ends}"


# replace


def test_an_object_is_replaced_repeatedly_with_matching_etags(store: ObjectStore) -> None:
    etag = store.create("lease", b"0")
    for n in range(1, 4):
        etag = store.replace("lease", str(n).encode(), etag=etag)
        found = store.read("lease")
        assert (found.data, found.etag) == (str(n).encode(), etag)


def test_an_etag_read_by_one_client_is_valid_for_another(subject: Subject) -> None:
    subject.store.create("lease", b"0")
    other = subject.reopen()
    other.replace("lease", b"1", etag=other.read("lease").etag)
    assert subject.store.read("lease").data == b"1"


def test_an_object_with_another_etag_is_not_replaced(subject: Subject) -> None:
    subject.require(REPLACES_IF)
    store = subject.store
    old = store.create("lease", b"0")
    store.replace("lease", b"1", etag=old)
    for again in (store, subject.reopen()):
        with pytest.raises(ETagMismatch):
            again.replace("lease", b"2", etag=old)
    assert store.read("lease").data == b"1"


def test_a_missing_object_is_not_replaced(subject: Subject) -> None:
    subject.require(REPLACES_IF)
    etag = subject.store.create("other", b"0")
    with pytest.raises(ETagMismatch):
        subject.store.replace("lease", b"1", etag=etag)
    assert subject.keys() == ["other"]


def test_one_of_eight_concurrent_replacements_succeeds(subject: Subject) -> None:
    subject.require(REPLACES_IF)
    etag = subject.store.create("lease", b"before")
    stores = [subject.reopen() for _ in range(8)]
    _race(subject, "lease", [partial(store.replace, "lease", etag=etag) for store in stores])


# read, has, open


def test_a_missing_object_is_reported_as_missing(store: ObjectStore) -> None:
    store.put("there/too", b"")
    with pytest.raises(ObjectNotFound):
        store.read("none")
    with pytest.raises(ObjectNotFound):
        store.open("none")
    assert not store.has("none")
    assert not store.has("there/to")


def test_age_grows_by_the_stores_own_clock(store: ObjectStore) -> None:
    store.create("lease", b"0")
    assert store.read("lease").age < 30
    wait_until(lambda: store.read("lease").age >= 1, seconds=10, what="a second passes there")


def test_an_empty_object_exists(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    nothing = sha256(b"").hexdigest()
    assert store.put("a", b"") == nothing
    assert store.put_file("b", tmp_path / "empty") == (0, nothing)
    store.create("c", b"")
    for key in "abc":
        assert store.has(key)
        assert store.read(key).data == b""
        with store.open(key) as file:
            assert file.read() == b""
    assert store.list("") == [("a", 0), ("b", 0), ("c", 0)]


def test_an_object_is_read_as_a_stream(store: ObjectStore) -> None:
    data = os.urandom(3_000_000)
    store.put("k", data)
    with store.open("k") as file:
        assert file.read(10) == data[:10]
        rest = bytearray()
        while chunk := file.read(700_000):
            rest += chunk
    assert bytes(rest) == data[10:]
    with store.open("k") as file:
        assert file.read(1) == data[:1]  # the rest is not downloaded
    assert store.read("k").data == data


def _part(store: ObjectStore, key: str, at: int, size: int, etag: str = "") -> tuple[bytes, str]:
    """Read part of an object in two ways; returns it and its ETag."""
    stream, found = store.open_range(key, at, size, etag)
    with closing(stream):
        room = memoryview(bytearray(size))
        got = stream.readinto(room[: (size + 1) // 2]) or 0
        rest = bytearray()
        while more := stream.read(size - got - len(rest)):
            rest += more
    return bytes(room[:got]) + bytes(rest), found


def test_exactly_the_requested_range_is_read(store: ObjectStore) -> None:
    data = os.urandom(300_000)
    store.put("k", data)
    etags = set()
    for at, size in ((0, 1), (0, 300_000), (299_999, 1), (100, 200_001), (65_000, 70_000)):
        part, etag = _part(store, "k", at, size)
        assert part == data[at : at + size]
        etags.add(etag)
        assert _part(store, "k", at, size, etag) == (part, etag)
    assert len(etags) == 1
    assert all(etags)


def test_a_range_of_a_changed_object_is_not_read(subject: Subject) -> None:
    store = subject.store
    first = store.create("k", b"one")
    _, etag = _part(store, "k", 0, 3)
    store.replace("k", b"two", etag=first)
    for _ in range(2):
        with pytest.raises(ETagMismatch):
            store.open_range("k", 0, 3, etag)
    assert _part(store, "k", 0, 3)[0] == b"two"


def test_a_range_of_a_missing_object_is_reported_as_missing(store: ObjectStore) -> None:
    store.put("k", b"one")
    for _ in range(2):
        with pytest.raises(ObjectNotFound):
            store.open_range("none", 0, 1)
        assert _part(store, "k", 0, 3)[0] == b"one"


def test_ranges_are_read_concurrently(store: ObjectStore) -> None:
    data = os.urandom(1_000_000)
    store.put("k", data)
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda n: _part(store, "k", n * 10_000, 10_000)[0], range(100))
        assert b"".join(parts) == data


@pytest.mark.parametrize("key", ODD)
def test_a_key_may_have_any_characters(subject: Subject, tmp_path: Path, key: str) -> None:
    if len(key.encode()) > 200 and subject.kind == "rclone":
        key = key[:80]
    store = subject.store
    key = f"train/results/{key}"
    etag = store.create(key, b"1")
    assert store.read(key).data == b"1"
    store.replace(key, b"22", etag=etag)
    assert store.has(key)
    assert _part(store, key, 0, 2)[0] == _part(store, key, 0, 2)[0] == b"22"
    assert store.list("train/results/") == [(key, 2)]
    (tmp_path / "file").write_bytes(b"file")
    store.put_file(f"{key}.file", tmp_path / "file")
    with store.open(f"{key}.file") as file:
        assert file.read() == b"file"
    assert subject.keys() == [key, f"{key}.file"]


# list


def test_a_list_has_the_keys_below_a_prefix_in_order_with_sizes(store: ObjectStore) -> None:
    for key in ("_spawn/log/2", "_spawn/log/1", "_spawn/logs/1", "_spawn/packs/1", "train/x/y/z"):
        store.put(key, key.encode())
    assert store.list("_spawn/log/") == [("_spawn/log/1", 12), ("_spawn/log/2", 12)]
    assert [key for key, _ in store.list("train/")] == ["train/x/y/z"]
    assert len(store.list("")) == 5
    assert store.list("none/") == []


def test_a_list_starts_after_a_key_whether_or_not_it_exists(store: ObjectStore) -> None:
    for n in (1, 2, 3, 5):
        store.put(f"log/{n:012d}.jsonl", b"x")

    def after(n: int) -> list[int]:
        return [int(key[4:16]) for key, _ in store.list("log/", f"log/{n:012d}.jsonl")]

    assert after(0) == [1, 2, 3, 5]
    assert after(2) == [3, 5]
    assert after(4) == [5]
    assert after(5) == []
    assert len(store.list("log/", "lo")) == 4


def test_a_list_has_at_most_a_thousand_keys_and_continues_after_the_last(subject: Subject) -> None:
    keys = [f"log/{n:012d}.jsonl" for n in range(1, PAGE + 6)]
    subject.put_many(keys[:PAGE])
    assert [key for key, _ in list_all(subject.store, "log/")] == keys[:PAGE]
    subject.put_many(keys[PAGE:])
    first = subject.store.list("log/")
    assert [key for key, _ in first] == keys[:PAGE]
    assert [key for key, _ in subject.store.list("log/", first[-1][0])] == keys[PAGE:]
    assert [key for key, _ in list_all(subject.store, "log/")] == keys


# put, link, put_file


def _put(store: ObjectStore, key: str, source: Path) -> str:
    return store.put(key, source.read_bytes())


def _put_file(store: ObjectStore, key: str, source: Path) -> str:
    return store.put_file(key, source)[1]


def _link(store: ObjectStore, key: str, source: Path) -> str:
    store.link(key, source)
    return sha256(store.read(key).data).hexdigest()


Way = Callable[[ObjectStore, str, Path], str]
WAYS = [_put, _put_file, _link]


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
def test_an_existing_object_stays_and_its_hash_is_returned(
    subject: Subject, tmp_path: Path, first: Way, second: Way
) -> None:
    (tmp_path / "one").write_bytes(b"one")
    (tmp_path / "two").write_bytes(b"the second")
    one = sha256(b"one").hexdigest()
    assert first(subject.store, "k", tmp_path / "one") == one
    for again in (subject.store, subject.reopen()):
        assert second(again, "k", tmp_path / "two") == one
        assert again.read("k").data == b"one"
    if second is _put_file:
        assert subject.store.put_file("k", tmp_path / "two") == (3, one)


def test_a_stored_file_stays_when_its_source_changes_or_is_removed(
    store: ObjectStore, tmp_path: Path
) -> None:
    source = tmp_path / "model.pth"
    source.write_bytes(b"one")
    store.put_file("copied", source)
    store.link("linked", source)
    source.unlink()
    source.write_bytes(b"two")
    assert store.read("copied").data == store.read("linked").data == b"one"


def test_a_large_file_is_stored_completely(subject: Subject, large: tuple[Path, str]) -> None:
    path, digest = large
    assert subject.store.put_file("model.pth", path) == (path.stat().st_size, digest)
    got = sha256()
    with subject.store.open("model.pth") as file:
        while chunk := file.read(1024 * 1024):
            got.update(chunk)
    assert got.hexdigest() == digest
    assert subject.store.list("") == [("model.pth", path.stat().st_size)]
    assert subject.count_unfinished_uploads() == 0


def test_a_file_of_exactly_one_part_is_stored_completely(subject: Subject, tmp_path: Path) -> None:
    data = os.urandom(PART_BYTES)
    (tmp_path / "part").write_bytes(data)
    digest = sha256(data).hexdigest()
    assert subject.store.put_file("part", tmp_path / "part") == (PART_BYTES, digest)
    assert subject.store.read("part").data == data


def test_a_large_file_does_not_overwrite_an_object(
    subject: Subject, large: tuple[Path, str]
) -> None:
    subject.store.put("model.pth", b"one")
    one = sha256(b"one").hexdigest()
    for again in (subject.store, subject.reopen()):
        assert again.put_file("model.pth", large[0]) == (3, one)
    assert subject.store.read("model.pth").data == b"one"
    assert subject.count_unfinished_uploads() == 0


def test_a_large_file_does_not_overwrite_an_object_created_meanwhile(
    subject: Subject, large: tuple[Path, str]
) -> None:
    subject.require(COMPLETES_ONCE)
    result = subject.store.put_file(
        "model.pth",
        large[0],
        accept=lambda: str(subject.reopen().put("model.pth", b"one")) and None,
    )
    assert result == (3, sha256(b"one").hexdigest())
    assert subject.store.read("model.pth").data == b"one"
    assert subject.count_unfinished_uploads() == 0


class _Refused(Exception):
    pass


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_file_rejected_after_reading_leaves_no_object(
    subject: Subject, tmp_path: Path, large: tuple[Path, str], size: str
) -> None:
    def refuse() -> None:
        assert subject.keys() == []
        raise _Refused

    source = large[0]
    if size == "small":
        source = tmp_path / "small"
        source.write_bytes(b"x")
    with pytest.raises(_Refused):
        subject.store.put_file("k", source, accept=refuse)
    assert subject.keys() == []
    assert subject.count_unfinished_uploads() == 0


def test_an_invalid_bucket_name_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BucketNotFound) as caught:
        S3Store(bucket="bad!name", prefix="q", region="us-east-1").read("k")
    assert "is not a valid bucket name" in str(caught.value)
    assert "regex" not in str(caught.value)


def test_an_error_in_the_accept_callback_is_passed_on(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x")

    def gone() -> None:
        os.stat(tmp_path / "none")

    with pytest.raises(FileNotFoundError):
        subject.store.put_file("k", tmp_path / "small", accept=gone)


def test_an_unreadable_source_raises_its_own_error_and_leaves_no_object(
    subject: Subject, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        subject.store.put_file("k", tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        subject.store.link("k", tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        subject.store.put_file("k", tmp_path)
    assert subject.keys() == []


# access


def test_a_client_without_access_is_denied_everything(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    subject.require(KNOWS_US)
    etag = subject.store.create("k", b"x")
    (tmp_path / "f").write_bytes(b"x")
    for name, value in (("AWS_ACCESS_KEY_ID", "who"), ("AWS_SECRET_ACCESS_KEY", "wrong")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            stranger = subject.reopen()
            for ask in (
                lambda s: s.read("k"),
                lambda s: s.open("k"),
                lambda s: s.open_range("k", 0, 1),
                lambda s: s.has("k"),
                lambda s: s.list(""),
                lambda s: s.create("new", b""),
                lambda s: s.replace("k", b"", etag=etag),
                lambda s: s.put("new", b""),
                lambda s: s.link("new", tmp_path / "f"),
                lambda s: s.put_file("new", tmp_path / "f"),
            ):
                with pytest.raises(AccessDenied) as raised:
                    ask(stranger)
                assert "--profile" in raised.value.hint


def test_a_missing_bucket_is_reported_with_a_hint(subject: Subject) -> None:
    if subject.server is None:
        pytest.skip("a folder has no bucket")
    store = S3Store(bucket="no-such-bucket", prefix="q")
    for ask in (
        lambda: store.read("k"),
        lambda: store.has("k"),
        lambda: store.list(""),
        lambda: store.create("k", b""),
        lambda: store.put("k", b""),
    ):
        with pytest.raises(AccessDenied) as raised:
            ask()
        assert "no-such-bucket" in raised.value.what
        assert "--bucket" in raised.value.hint
