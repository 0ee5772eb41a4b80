"""Shipping stores the log's bytes once; a shipper that finds other bytes is fenced."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.support.legal import Seeded, driven
from tests.support.logs import QUEUE_ID, LogBuilder
from tests.support.replicas import (
    CountingStore,
    ForgetfulStore,
    GrowingLog,
    objects,
    ship,
    shipper,
    write_segments,
)

from spawn.core.domain import chain
from spawn.core.domain.replay import Row
from spawn.core.errors import CorruptLog, SpawnError
from spawn.store.objects.folder import FolderStore
from spawn.store.objects.interface import Object, Unavailable
from spawn.store.replica import lines, names, read
from spawn.store.replica import ship as shipping
from spawn.store.replica.lease import Fenced
from spawn.store.replica.ship import Shipper


def _log(seed: int = 3, least: int = 40) -> list[Row]:
    driver = driven(Seeded(seed))
    while driver.log.seq < least:
        driver.act()
    return driver.log.rows


ROWS = _log()
EXPORTED = b"".join(chain.format_line(hash_, line) + b"\n" for _, _, line, hash_ in ROWS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder for the objects."""
    return tmp_path / "objects"


@given(ends=st.sets(st.integers(1, len(ROWS))))
def test_the_shipped_log_is_identical_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, ends: set[int]
) -> None:
    root = tmp_path_factory.mktemp("objects")
    cuts = [*sorted(ends), len(ROWS)]
    ship(CountingStore(root), ROWS, cuts, queue_id=QUEUE_ID, pack=False)
    found = objects(root)
    assert b"".join(found.values()) == EXPORTED
    firsts = [1, *(cut + 1 for cut in sorted(set(cuts))[:-1])]
    assert list(found) == [names.segment(first) for first in firsts]


def test_shipping_without_new_events_makes_no_request(root: Path) -> None:
    store = CountingStore(root)
    log = GrowingLog(ROWS, 5)
    shipping_ = shipper(store, log, QUEUE_ID, after=5)
    assert shipping_.ship() is None
    assert shipping_.head == (5, ROWS[4][3])
    assert store.requests.total() == 0


def test_ship_returns_the_first_and_last_seq_of_its_segment(root: Path) -> None:
    log = GrowingLog(ROWS, 7)
    shipping_ = shipper(FolderStore(root), log, QUEUE_ID)
    assert shipping_.ship() == (1, 7)
    log.seq = 9
    assert shipping_.ship() == (8, 9)
    assert shipping_.head == (9, ROWS[8][3])


@given(
    replies=st.lists(st.booleans(), min_size=1, max_size=12),
    more=st.lists(st.integers(1, 5), min_size=12, max_size=12),
)
def test_lost_responses_do_not_change_the_shipped_log(
    tmp_path_factory: pytest.TempPathFactory, replies: list[bool], more: list[int]
) -> None:
    root = tmp_path_factory.mktemp("objects")
    store = ForgetfulStore(root)
    log = GrowingLog(ROWS, 0)
    shipping_ = shipper(store, log, QUEUE_ID)
    for arrives, grown in zip(replies, more, strict=False):
        log.seq = min(len(ROWS), log.seq + grown)
        store.lost = 0 if arrives else 1
        try:
            shipping_.ship()
        except Unavailable:
            continue
    store.lost = 0
    log.seq = len(ROWS)
    while shipping_.ship():
        pass
    assert b"".join(objects(root).values()) == EXPORTED
    assert shipping_.head == (len(ROWS), ROWS[-1][3])


def test_shipping_continues_after_an_earlier_segment_with_other_boundaries(root: Path) -> None:
    store = FolderStore(root)
    write_segments(store, ROWS, [4, 6])
    shipping_ = shipper(store, GrowingLog(ROWS, 10), QUEUE_ID, after=4)
    assert shipping_.ship() == (5, 6)
    assert shipping_.ship() == (7, 10)
    assert shipping_.head == (10, ROWS[9][3])


def test_an_earlier_larger_segment_is_accepted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_segments(FolderStore(root), ROWS, [10])
    monkeypatch.setattr(shipping, "SEGMENT_BYTES", 1)
    assert shipper(FolderStore(root), GrowingLog(ROWS, 12), QUEUE_ID).ship() == (1, 10)


def _other(count: int) -> list[Row]:
    """Return another log of the same queue, as another owner would have written it."""
    builder = LogBuilder()
    builder.entries.extend(driven(Seeded(4)).log.entries)
    return builder.rows[:count]


def test_a_different_line_is_fenced_and_named(root: Path) -> None:
    store = FolderStore(root)
    store.create(names.segment(1), lines.encode([*ROWS[:2], *_other(5)[2:]]))
    with pytest.raises(Fenced, match="event 3 in the store differs"):
        shipper(store, GrowingLog(ROWS), QUEUE_ID).ship()


def test_the_same_line_with_another_hash_is_fenced(root: Path) -> None:
    seq, type_, line, _ = ROWS[0]
    FolderStore(root).create(names.segment(1), lines.encode([(seq, type_, line, bytes(32))]))
    with pytest.raises(Fenced, match="event 1 in the store differs"):
        shipper(FolderStore(root), GrowingLog(ROWS), QUEUE_ID).ship()


def test_a_longer_log_in_the_store_is_fenced(root: Path) -> None:
    write_segments(FolderStore(root), ROWS, [8])
    with pytest.raises(Fenced, match="continues after event 7"):
        shipper(FolderStore(root), GrowingLog(ROWS, 7), QUEUE_ID).ship()


@pytest.mark.parametrize("data", [b"", b"\n", b"hello", b"hello\n", EXPORTED[:-1], b"[" * 70000])
def test_an_invalid_segment_is_corrupt_and_not_fenced(root: Path, data: bytes) -> None:
    FolderStore(root).create(names.segment(1), data)
    with pytest.raises(CorruptLog, match=names.segment(1)):
        shipper(FolderStore(root), GrowingLog(ROWS), QUEUE_ID).ship()


def test_a_segment_truncated_between_two_lines_is_not_accepted(
    root: Path,
) -> None:
    class Cutting(FolderStore):
        def read(self, key: str) -> Object:
            found = super().read(key)
            return structs.replace(found, data=found.data[: found.data.index(b"\n") + 1])

    write_segments(FolderStore(root), ROWS, [8])
    ship = shipper(Cutting(root), GrowingLog(ROWS), QUEUE_ID)
    with pytest.raises(Unavailable, match="incomplete"):
        ship.ship()
    assert ship.seq == 0
    with pytest.raises(Unavailable, match="incomplete"):
        list(read.read(Cutting(root), QUEUE_ID))


def test_without_conditional_writes_the_key_is_checked_first(root: Path) -> None:
    class Overwriting(CountingStore):
        def create(self, key: str, data: bytes) -> str:
            (self.folder / key).unlink(missing_ok=True)
            return super().create(key, data)

    store = Overwriting(root)
    write_segments(store, _other(3), [3])
    before = objects(root)
    without = Shipper(store, GrowingLog(ROWS), seq=0, hash_=chain.genesis(QUEUE_ID), fence=False)
    with pytest.raises(Fenced):
        without.ship()
    assert objects(root) == before


@given(limit=st.integers(1, 3000))
def test_only_a_single_line_exceeds_the_segment_size(
    tmp_path_factory: pytest.TempPathFactory, limit: int
) -> None:
    root = tmp_path_factory.mktemp("objects")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipping, "SEGMENT_BYTES", limit)
        ship(CountingStore(root), ROWS, [len(ROWS)], queue_id=QUEUE_ID, pack=False)
    found = objects(root)
    assert b"".join(found.values()) == EXPORTED
    for key, data in found.items():
        rows = list(lines.decode(key, data, names.parse_segment(key) or 0))
        assert len(rows) == 1 or sum(len(row[2]) for row in rows) <= limit


def test_a_store_failure_leaves_the_shippers_position_unchanged(root: Path) -> None:
    class Down(FolderStore):
        def create(self, key: str, data: bytes) -> str:
            raise Unavailable(f"{key} cannot be reached")

    log = GrowingLog(ROWS, 5)
    shipping_ = shipper(Down(root), log, QUEUE_ID, after=2)
    with pytest.raises(SpawnError):
        shipping_.ship()
    assert shipping_.head == (2, ROWS[1][3])
