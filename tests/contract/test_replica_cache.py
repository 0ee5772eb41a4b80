"""A replica's cache saves requests and is never trusted."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.test_replica_tampering import ORIGINALS, ROWS, STRANGERS, Change, changes
from tests.support.disks import fill, small_disk
from tests.support.legal import Seeded, driven, random_config
from tests.support.logs import QUEUE_ID, LogBuilder, owner, submission
from tests.support.replicas import CountingStore, lease, write_segments
from tests.support.soak import scaled

from spawn.core.domain import chain
from spawn.core.domain.replay import Row
from spawn.core.errors import CorruptLog
from spawn.store.objects.interface import Unavailable
from spawn.store.queue_dir import lock
from spawn.store.replica import cache as caching
from spawn.store.replica import lines, names
from spawn.store.replica.cache import Cache
from spawn.store.replica.update_cache import CacheUpdate, update_cache

LONG = settings(max_examples=scaled(25, 100), suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all examples."""
    return tmp_path_factory.mktemp("examples")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose cache folder does not exist yet."""
    with TemporaryDirectory() as name:
        yield Path(name)


def _path(root: Path) -> Path:
    return root / "cache" / "replicas" / "0" / f"{QUEUE_ID}.jsonl"


def _look(root: Path, store: CountingStore | None = None) -> tuple[Cache, CacheUpdate]:
    """Read a replica as one command does."""
    cache = Cache(QUEUE_ID, _path(root))
    with cache.updating():
        caught = update_cache(store or CountingStore(root / "objects"), cache)
    return cache, caught


def _write(root: Path, rows: list[Row], ends: list[int], *, head: int | None = None) -> None:
    """Write a replica, and its lease after the segments."""
    store = CountingStore(root / "objects")
    write_segments(store, rows, ends)
    lease(store, rows[(head or ends[-1]) - 1])


def _renew(root: Path, row: Row) -> None:
    (root / "objects" / names.LEASE).unlink()
    lease(CountingStore(root / "objects"), row)


def _asked(root: Path) -> dict[str, int]:
    store = CountingStore(root / "objects")
    _look(root, store)
    return dict(store.requests)


# requests that the cache saves


def test_an_up_to_date_cache_needs_one_lease_read_and_one_list(place: Path) -> None:
    _write(place, ROWS, [1, 5, 20, len(ROWS)])
    first, _ = _look(place)
    assert list(first.rows()) == ROWS
    assert _asked(place) == {"GET": 1, "LIST": 1}
    again, caught = _look(place)
    assert (list(again.rows()), caught.differs, again.damaged) == (ROWS, 0, 0)


def test_a_cache_of_many_segments_needs_one_lease_read_and_one_list(place: Path) -> None:
    _write(place, ROWS, list(range(1, len(ROWS) + 1)))
    _look(place)
    assert _asked(place) == {"GET": 1, "LIST": 1}


def test_only_new_segments_are_fetched(place: Path) -> None:
    _write(place, ROWS[:20], [5, 20])
    _look(place)
    store = CountingStore(place / "objects")
    store.create(names.segment(21), lines.encode(ROWS[20:30]))
    store.create(names.segment(31), lines.encode(ROWS[30:]))
    _renew(place, ROWS[-1])
    assert _asked(place) == {"GET": 3, "LIST": 1}
    assert list(_look(place)[0].rows()) == ROWS


def test_a_segment_beyond_the_leases_head_is_read_again(place: Path) -> None:
    """A lease is renewed every ten seconds, so it lags behind a log that is being written."""
    _write(place, ROWS[:20], [5, 20], head=5)
    _look(place)
    assert _asked(place) == {"GET": 2, "LIST": 1}
    cache = Cache(QUEUE_ID, _path(place))
    for extra in (1, 0, 0):
        store = CountingStore(place / "objects")
        with cache.updating():
            update_cache(store, cache)
        assert store.requests == {"GET": 1 + extra, "LIST": 1}


@LONG
@given(st.lists(st.integers(1, 25), min_size=1, max_size=8), st.integers(0, 2**32))
def test_each_read_of_a_growing_log_has_all_events(
    folder: Path, sizes: list[int], seed: int
) -> None:
    random = Random(seed)
    with TemporaryDirectory(dir=folder) as name:
        root = Path(name)
        store = CountingStore(root / "objects")
        staying = Cache(QUEUE_ID, _path(root))
        seq = 0
        for size in sizes:
            rows = ROWS[seq : seq + size]
            if not rows:
                break
            store.create(names.segment(seq + 1), lines.encode(rows))
            seq += len(rows)
            if random.random() < 0.5:
                (root / "objects" / names.LEASE).unlink(missing_ok=True)
                lease(store, ROWS[random.randrange(seq)])
            for cache in (staying, Cache(QUEUE_ID, _path(root)))[random.randrange(2) :]:
                with cache.updating():
                    update_cache(store, cache)
                assert list(cache.rows()) == ROWS[:seq]
                after = random.randrange(seq)
                assert list(cache.rows(after)) == ROWS[after:seq]
                assert cache.hash_at(after) == (ROWS[after - 1][3] if after else cache.hash_at(0))


# damaged caches


def _damaged(folder: Path, data: bytes, told: bool | None = True) -> None:
    """Check that a cache with these bytes causes no error."""
    with TemporaryDirectory(dir=folder) as name:
        root = Path(name)
        _write(root, ROWS, [1, 5, 20, len(ROWS)])
        _path(root).parent.mkdir(parents=True)
        _path(root).write_bytes(data)
        cache, caught = _look(root)
        assert list(cache.rows()) == ROWS
        if told is not None:
            assert bool(cache.damaged or caught.differs) == told
        assert _path(root).read_bytes() == lines.encode(ROWS), "the cache is repaired"


GOOD = lines.encode(ROWS)


@pytest.mark.parametrize("part", range(4))
def test_a_changed_byte_of_the_cache_refetches_the_rest(folder: Path, part: int) -> None:
    for at in range(part * 37, len(GOOD), 4 * 37):
        _damaged(folder, GOOD[:at] + bytes([GOOD[at] ^ 1]) + GOOD[at + 1 :])


def test_a_truncated_cache_refetches_the_rest(folder: Path) -> None:
    ends = {0, *(n + 1 for n, byte in enumerate(GOOD) if byte == 10)}
    for end in sorted({*ends, *range(0, len(GOOD), 211), len(GOOD) - 1}):
        _damaged(folder, GOOD[:end], told=end not in ends)


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"\0" * 5000,
        b"x" * 500_000,
        b"[" * 200_000 + b"\n",
        GOOD + GOOD,
        GOOD + b"\xff",
        lines.encode(STRANGERS),
        lines.encode(ROWS[1:]),
        lines.encode([*ROWS[:9], *ROWS[10:]]),
    ],
    ids=["empty", "zeros", "long", "brackets", "twice", "more", "foreign", "beheaded", "hole"],
)
def test_any_cache_content_gives_the_stores_log(folder: Path, data: bytes) -> None:
    _damaged(folder, data)


def test_a_forged_cache_with_a_valid_chain_is_discarded(folder: Path) -> None:
    """The cache's hashes are consistent, and the store has others."""
    builder = LogBuilder(QUEUE_ID)
    builder.add(*submission(random_config(Seeded(5))))
    builder.queue(owner())
    for rows in (builder.rows, _other(len(ROWS)), _other(len(ROWS) + 20), _other(40)):
        _damaged(folder, lines.encode(rows))


# changed stores


def _other(least: int) -> list[Row]:
    """Return another log of the same queue with at least `least` events."""
    driver = driven(Seeded(77))
    while driver.log.seq < least:
        driver.act()
    return driver.log.rows


@pytest.mark.parametrize("length", [2, 30, len(ROWS), len(ROWS) + 30])
def test_a_replaced_log_is_detected_and_read(place: Path, length: int) -> None:
    _write(place, ROWS, [20, len(ROWS)])
    _look(place)
    rows = _other(length)
    with TemporaryDirectory() as name:
        there = Path(name)
        _write(there, rows, [1, len(rows)])
        (there / "cache").symlink_to(place / "cache")
        cache, caught = _look(there)
        assert list(cache.rows()) == rows
        first = next(n for n, (a, b) in enumerate(zip(rows, ROWS, strict=False)) if a != b) + 1
        assert caught.differs == first
        again, caught = _look(there)
        assert (list(again.rows()), caught.differs) == (rows, 0)
    assert [path.name for path in _path(place).parent.iterdir() if "part" in path.name] == []


def test_a_log_that_forks_after_the_leases_head_is_detected(place: Path) -> None:
    _write(place, ROWS, [20, len(ROWS)], head=20)
    _look(place)
    forged = [*ROWS[:20], *_forked(ROWS[:20], len(ROWS) - 20)]
    (place / "objects" / names.segment(21)).write_bytes(lines.encode(forged[20:]))
    cache, caught = _look(place)
    assert (list(cache.rows()), caught.differs) == (forged, 21)


def _forked(before: list[Row], count: int) -> list[Row]:
    """Return forged events that continue a log."""
    rows = []
    hash_ = before[-1][3]
    for row in ROWS[len(before) : len(before) + count]:
        line = row[2].replace(b'"at":"20', b'"at":"21', 1)
        hash_ = chain.next_hash(hash_, line)
        rows.append((row[0], row[1], line, hash_))
    return rows


@pytest.mark.parametrize("vouched", ["forged", "none"])
def test_a_store_that_serves_an_older_log_is_detected(place: Path, vouched: str) -> None:
    ends = [5, 20, 40, len(ROWS)]
    _write(place, ROWS, ends)
    _look(place)
    (place / "objects" / names.segment(41)).unlink()
    if vouched == "forged":
        _renew(place, ROWS[39])
    else:
        (place / "objects" / names.LEASE).unlink()
    for _ in range(2):
        with pytest.raises(CorruptLog, match="the log in the store ends with event 40: this"):
            _look(place)
    assert list(Cache(QUEUE_ID, None).rows()) == []
    assert _path(place).read_bytes() == GOOD, "the cached events are kept"


def test_a_cut_newest_segment_is_detected(place: Path) -> None:
    _write(place, ROWS, [5, 20, len(ROWS)])
    _look(place)
    (place / "objects" / names.segment(21)).write_bytes(lines.encode(ROWS[20:30]))
    _renew(place, ROWS[29])
    with pytest.raises(CorruptLog, match="the log in the store ends with event 30"):
        _look(place)


def _spoiled(folder: Path, change: Change, known: int) -> None:
    """Check that a changed replica raises an error, or that the original log is read."""
    with TemporaryDirectory(dir=folder) as name:
        root = Path(name)
        for key, data in change.objects.items():
            (root / "objects" / key).parent.mkdir(parents=True, exist_ok=True)
            (root / "objects" / key).write_bytes(data)
        _path(root).parent.mkdir(parents=True)
        _path(root).write_bytes(lines.encode(ROWS[:known]))
        try:
            cache, caught = _look(root)
        except CorruptLog:
            kept = Cache(QUEUE_ID, _path(root))
            with kept.updating():
                assert list(kept.rows()) == ROWS[:known], "none of the change is in the cache"
            return
        assert list(cache.rows()) == ROWS or change.key == names.LEASE
        assert list(cache.rows()) == ROWS[: cache.seq]
        assert not caught.differs


@LONG
@given(changes(names.LOG), st.integers(0, len(ROWS)))
def test_edited_segments_are_named_or_have_no_effect(
    folder: Path, change: Change, known: int
) -> None:
    _spoiled(folder, change, known)


@LONG
@given(changes(names.PACKS), st.integers(0, len(ROWS)))
def test_edited_packs_are_named_or_have_no_effect(folder: Path, change: Change, known: int) -> None:
    _spoiled(folder, change, known)


@LONG
@given(changes(names.LEASE), st.integers(0, len(ROWS)))
def test_an_edited_lease_is_named_or_has_no_effect(
    folder: Path, change: Change, known: int
) -> None:
    _spoiled(folder, change, known)


@pytest.mark.parametrize("known", [0, 1, 30, len(ROWS) - 1])
@pytest.mark.parametrize("original", range(len(ORIGINALS)))
def test_every_removed_segment_is_reported_or_is_in_a_pack(
    folder: Path, original: int, known: int
) -> None:
    objects = ORIGINALS[original]
    for key in [key for key in objects if key.startswith(names.LOG)]:
        change = Change(objects, key, objects[key])
        del change.objects[key]
        _spoiled(folder, change, known)


# concurrent readers and failures


def test_concurrent_readers_each_read_the_whole_log(place: Path) -> None:
    _write(place, ROWS[:10], [10])
    store = CountingStore(place / "objects")
    together = threading.Barrier(8)

    def read(_: int) -> None:
        staying = Cache(QUEUE_ID, _path(place))
        for number in range(10, len(ROWS), 10):
            if together.wait() == 0:
                store.create(names.segment(number + 1), lines.encode(ROWS[number : number + 10]))
            together.wait()
            for cache in (staying, Cache(QUEUE_ID, _path(place))):
                with cache.updating():
                    update_cache(CountingStore(place / "objects"), cache)
                assert list(cache.rows()) == ROWS[: number + 10]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(8)))
    assert _path(place).read_bytes() == GOOD


def test_a_segment_fetched_by_one_reader_is_not_fetched_by_another(place: Path) -> None:
    _write(place, ROWS[:20], [20])
    staying, _ = _look(place)
    store = CountingStore(place / "objects")
    store.create(names.segment(21), lines.encode(ROWS[20:]))
    _renew(place, ROWS[-1])
    _look(place)
    with staying.updating():
        update_cache(store, staying)
    assert store.requests["GET"] == 1, "the lease"
    assert list(staying.rows()) == ROWS


def test_a_reader_continues_when_another_has_replaced_the_cache(place: Path) -> None:
    _write(place, ROWS[:20], [20])
    staying, _ = _look(place)
    _path(place).unlink()
    _look(place)
    assert list(staying.rows()) == ROWS[:20]
    CountingStore(place / "objects").create(names.segment(21), lines.encode(ROWS[20:]))
    with staying.updating():
        update_cache(CountingStore(place / "objects"), staying)
    assert list(staying.rows()) == ROWS


def test_waiting_for_a_held_cache_lock_times_out(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "LOCK_SECONDS", 0.05)
    _write(place, ROWS, [20, len(ROWS)])
    _look(place)
    held = lock.acquire(_path(place).with_name(f".{_path(place).name}.lock"))
    assert held is not None
    try:
        assert list(_look(place)[0].rows()) == ROWS
    finally:
        os.close(held)


def test_only_the_owner_can_access_the_cache(place: Path) -> None:
    _write(place, ROWS, [len(ROWS)])
    before = os.umask(0)
    try:
        _look(place)
    finally:
        os.umask(before)
    for path in (place / "cache").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_missing_queue_leaves_no_cache_file(place: Path) -> None:
    _look(place)
    assert [path for path in (place / "cache").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("obstacle", ["file", "link", "folder"])
def test_the_log_is_read_without_a_writable_cache(place: Path, obstacle: str) -> None:
    _write(place, ROWS, [20, len(ROWS)])
    if obstacle == "file":
        (place / "cache").write_text("")
    else:
        _path(place).parent.mkdir(parents=True)
        if obstacle == "link":
            (place / "elsewhere").write_text("mine")
            _path(place).symlink_to(place / "elsewhere")
        else:
            _path(place).mkdir()
    for _ in range(2):
        assert list(_look(place)[0].rows()) == ROWS
    if obstacle == "link":
        assert (place / "elsewhere").read_text() == "mine"


def test_a_full_disk_is_not_an_error(place: Path) -> None:
    _write(place, ROWS, [20, len(ROWS)])
    with small_disk(place / "cache", 64) as disk:
        fill(disk)
        assert list(_look(place)[0].rows()) == ROWS
    (place / "objects" / names.segment(21)).unlink()
    _renew(place, ROWS[19])
    with small_disk(place / "full", 64) as disk:
        (disk / "objects").symlink_to(place / "objects")
        staying, _ = _look(disk)
        fill(disk)
        CountingStore(place / "objects").create(names.segment(21), lines.encode(ROWS[20:]))
        with staying.updating():
            update_cache(CountingStore(place / "objects"), staying)
        assert list(staying.rows()) == ROWS


def test_a_store_failure_keeps_the_segments_fetched_so_far(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(place, ROWS, [5, 20, 40, len(ROWS)])
    store = CountingStore(place / "objects")
    read = CountingStore.read

    def failing(self: CountingStore, key: str) -> object:
        if key == names.segment(41):
            raise Unavailable("as told")
        return read(self, key)

    monkeypatch.setattr(CountingStore, "read", failing)
    with pytest.raises(Unavailable):
        _look(place, store)
    monkeypatch.undo()
    assert _path(place).read_bytes() == lines.encode(ROWS[:40])
    assert _asked(place) == {"GET": 2, "LIST": 1}
