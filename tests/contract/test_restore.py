"""Restoring a log from packs, from segments, from a middle event, and over HTTP; or an error that
names the defect."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import s3
from tests.support.legal import Seeded, driven
from tests.support.logs import QUEUE_ID
from tests.support.replicas import (
    OWNER,
    CountingStore,
    objects,
    replicate,
    ship,
    write_segments,
)

from spawn.core.config.model import QueueConfig
from spawn.core.domain import chain
from spawn.core.domain.replay import Row
from spawn.core.errors import CorruptLog
from spawn.store.objects.s3 import S3Store
from spawn.store.replica import names, read
from spawn.store.replica import pack as packing
from spawn.store.replica.lease import Lease, LeaseSnapshot, read_lease


def _log(least: int) -> list[Row]:
    driver = driven(Seeded(6))
    while driver.log.seq < least:
        driver.act()
    return driver.log.rows


ROWS = _log(120)
EVERY = range(1, len(ROWS) + 1)
cuts = st.sets(st.integers(1, len(ROWS))).map(lambda some: sorted({*some, len(ROWS)}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder for the objects."""
    return tmp_path / "objects"


def _whole(root: Path, after: int = 0) -> list[Row]:
    hash_ = ROWS[after - 1][3] if after else b""
    return list(read.read(CountingStore(root), QUEUE_ID, after=after, hash_=hash_))


def test_an_empty_prefix_has_an_empty_log(root: Path) -> None:
    assert _whole(root) == []


@given(ends=cuts, limit=st.integers(500, 30_000), left=st.booleans(), data=st.data())
def test_any_set_of_packs_restores_the_log(
    tmp_path_factory: pytest.TempPathFactory,
    ends: list[int],
    limit: int,
    left: bool,
    data: st.DataObject,
) -> None:
    root = tmp_path_factory.mktemp("objects")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PACK_BYTES", limit)
        packer = ship(CountingStore(root), ROWS, ends, queue_id=QUEUE_ID)
        if not left:
            packer.pack_all(len(ROWS))
    for key in objects(root, names.PACKS):
        if not data.draw(st.integers(0, 3)):
            (root / key).unlink()
    assert _whole(root) == ROWS
    after = data.draw(st.integers(1, len(ROWS)))
    assert _whole(root, after) == ROWS[after:]


@given(ends=cuts, after=st.integers(0, len(ROWS)))
def test_without_packs_reading_may_start_within_a_segment(
    tmp_path_factory: pytest.TempPathFactory, ends: list[int], after: int
) -> None:
    root = tmp_path_factory.mktemp("objects")
    write_segments(CountingStore(root), ROWS, ends)
    assert _whole(root, after) == ROWS[after:]


@given(ends=cuts, back=st.integers(1, 6), page=st.integers(7, 20), after=st.integers(0, len(ROWS)))
def test_the_page_size_of_lists_has_no_effect(
    tmp_path_factory: pytest.TempPathFactory, ends: list[int], back: int, page: int, after: int
) -> None:
    root = tmp_path_factory.mktemp("objects")
    ship(CountingStore(root), ROWS, ends, queue_id=QUEUE_ID)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "BACK", back)
        patch.setattr(read, "PAGE", page)
        patch.setattr("tests.support.replicas.PAGE", page)
        assert _whole(root, after) == ROWS[after:]


def test_segments_after_the_last_pack_are_read(root: Path) -> None:
    """The last pack is missing, and the one before it ends within the last segment."""
    write_segments(CountingStore(root), ROWS, [*range(1, 21), 40])
    store = CountingStore(root)
    rows = ROWS[:30]
    store.create(
        names.pack(1, 30), b"".join(chain.format_line(h, ln) + b"\n" for _, _, ln, h in rows)
    )
    assert _whole(root) == ROWS[:40]


def test_packs_restore_a_log_without_any_segment(root: Path) -> None:
    packer = ship(CountingStore(root), ROWS, EVERY, queue_id=QUEUE_ID)
    packer.pack_all(len(ROWS))
    for key in objects(root, names.LOG):
        (root / key).unlink()
    assert _whole(root) == ROWS


def test_reading_after_an_event_fetches_only_the_following_segments(root: Path) -> None:
    packer = ship(CountingStore(root), ROWS, EVERY, queue_id=QUEUE_ID)
    packer.pack_all(len(ROWS))
    store = CountingStore(root)
    after = len(ROWS) - 3
    assert list(read.read(store, QUEUE_ID, after=after, hash_=ROWS[after - 1][3])) == ROWS[-3:]
    assert store.requests == {"LIST": 1, "GET": 3}


def test_reading_at_the_end_fetches_only_the_last_segment(root: Path) -> None:
    packer = ship(CountingStore(root), ROWS, EVERY, queue_id=QUEUE_ID)
    packer.pack_all(len(ROWS))
    store = CountingStore(root)
    assert list(read.read(store, QUEUE_ID, after=len(ROWS), hash_=ROWS[-1][3])) == []
    assert store.requests == {"LIST": 1, "GET": 1}


def test_reading_with_another_queues_id_fails(root: Path) -> None:
    write_segments(CountingStore(root), ROWS, [10])
    with pytest.raises(CorruptLog, match=rf"event 1 .*{names.segment(1)}"):
        list(read.read(CountingStore(root), "other"))


def test_a_different_local_log_is_detected(root: Path) -> None:
    write_segments(CountingStore(root), ROWS, [10])
    with pytest.raises(CorruptLog, match="event 6 "):
        list(read.read(CountingStore(root), QUEUE_ID, after=5, hash_=bytes(32)))


def test_a_pack_whose_last_seq_precedes_its_first_is_ignored(root: Path) -> None:
    """Such a pack would make a reader loop for ever."""
    store = CountingStore(root)
    ship(store, ROWS, EVERY, queue_id=QUEUE_ID)
    for first, last in ((97, 88), (97, 0), (0, 96)):
        store.create(names.pack(first, last), b"x")
    assert _whole(root) == ROWS


@given(cut=st.integers(0, len(ROWS)), ahead=st.integers(1, 5))
def test_a_log_that_ends_before_its_leases_head_is_corrupt(cut: int, ahead: int) -> None:
    seen = _seen(cut + ahead, bytes(32))
    with pytest.raises(CorruptLog, match=f"ends with event {cut}: .* {cut + ahead} there"):
        read.expect_head(seen, cut, {})


@given(at=st.integers(1, len(ROWS)))
def test_a_lease_with_another_hash_is_detected(at: int) -> None:
    read.expect_head(_seen(at, ROWS[at - 1][3]), len(ROWS), {at: ROWS[at - 1][3]})
    with pytest.raises(CorruptLog, match=f"event {at} in the store is not the one"):
        read.expect_head(_seen(at, bytes(32)), len(ROWS), {at: ROWS[at - 1][3]})


def test_without_a_lease_no_event_is_expected() -> None:
    read.expect_head(None, 0, {})
    read.expect_head(_seen(0, bytes(32)), 0, {})


def _seen(seq: int, hash_: bytes) -> LeaseSnapshot:
    return LeaseSnapshot(
        Lease(epoch=1, nonce="n", owner=OWNER, seq=seq, hash=hash_.hex()), "e", 0.0
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    """A real S3 server."""
    with s3.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


def test_a_log_is_shipped_packed_and_restored_over_http(
    server: s3.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="team")
    monkeypatch.setattr(packing, "PACK_BYTES", 6000)
    config = QueueConfig(jobs=(), queue_id=QUEUE_ID)
    store = S3Store(bucket="team", prefix="runs/nightly")
    ends = sorted({*range(1, 60), *range(60, len(ROWS), 7), len(ROWS)})
    replicate(store, ROWS, config, ends=ends, packed=False)
    reader = S3Store(bucket="team", prefix="runs/nightly")
    seen = read_lease(reader)
    assert seen is not None
    assert (seen.lease.seq, seen.lease.handed_back) == (len(ROWS), True)
    assert list(read.read(reader, QUEUE_ID)) == ROWS
    assert list(read.read(reader, QUEUE_ID, after=64, hash_=ROWS[63][3])) == ROWS[64:]
    exported = b"".join(reader.read(key).data for key, _ in reader.list(names.LOG))
    assert exported == b"".join(chain.format_line(h, line) + b"\n" for _, _, line, h in ROWS)
