"""Packs: extra copies that grow, stay within their size, and never mislead a reader."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.legal import Seeded, driven
from tests.support.logs import QUEUE_ID
from tests.support.replicas import (
    CountingStore,
    ForgetfulStore,
    GrowingLog,
    objects,
    ship,
    write_segments,
)

from spawn.core.domain.replay import Row
from spawn.store.objects.interface import Unavailable
from spawn.store.replica import lines, names, read
from spawn.store.replica import pack as packing
from spawn.store.replica.pack import Packer


def _log(least: int) -> list[Row]:
    driver = driven(Seeded(5))
    while driver.log.seq < least:
        driver.act()
    return driver.log.rows


ROWS = _log(150)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    """An empty store."""
    return CountingStore(tmp_path / "objects")


def packs(store: CountingStore) -> list[tuple[int, int]]:
    """Return the packs, after checking that each has exactly the events that its name says."""
    found = []
    for key, data in objects(store.folder, names.PACKS).items():
        first, last = names.parse_pack(key) or (0, 0)
        assert list(lines.decode(key, data, first)) == ROWS[first - 1 : last]
        found.append((first, last))
    return found


def _one_each(store: CountingStore, count: int) -> Packer:
    """Ship `count` events, one per segment."""
    return ship(store, ROWS[:count], range(1, count + 1), queue_id=QUEUE_ID)


def test_eight_segments_make_a_pack_and_four_packs_a_larger_one(store: CountingStore) -> None:
    _one_each(store, 7)
    assert packs(store) == []
    packer = Packer(store, GrowingLog(ROWS))
    for count in range(1, 129):
        packer.add_segment(count, count)
        while packer.due:
            packer.pack()
    eights = [(first, first + 7) for first in range(1, 129, 8)]
    more = [(1, 32), (33, 64), (65, 96), (97, 128), (1, 128)]
    assert packs(store) == sorted([*eights, *more])


def test_a_failed_pack_is_retried(tmp_path: Path) -> None:
    store = ForgetfulStore(tmp_path / "objects")
    packer = Packer(store, GrowingLog(ROWS))
    for count in range(1, 9):
        packer.add_segment(count, count)
    store.lost = 1
    with pytest.raises(Unavailable):
        packer.pack()
    assert packer.due
    packer.pack()
    assert not packer.due
    assert packs(store) == [(1, 8)]


def test_a_few_events_are_not_packed(store: CountingStore) -> None:
    Packer(store, GrowingLog(ROWS)).pack_all(packing.FEW - 1)
    assert store.requests.total() == 0


@given(limit=st.integers(1, 20_000), last=st.integers(packing.FEW, len(ROWS)))
def test_the_whole_log_is_packed_within_the_size_limit(
    tmp_path_factory: pytest.TempPathFactory, limit: int, last: int
) -> None:
    store = CountingStore(tmp_path_factory.mktemp("objects"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PACK_BYTES", limit)
        Packer(store, GrowingLog(ROWS)).pack_all(last)
    found = packs(store)
    assert (found[0][0], found[-1][1]) == (1, last)
    assert all(before[1] + 1 == after[0] for before, after in pairwise(found))
    for first, end in found:
        assert first == end or sum(len(row[2]) for row in ROWS[first - 1 : end]) <= limit


@given(st.sets(st.integers(packing.FEW, len(ROWS)), min_size=2), st.booleans())
def test_pack_boundaries_do_not_change_as_the_log_grows(
    tmp_path_factory: pytest.TempPathFactory, lasts: set[int], anew: bool
) -> None:
    store = CountingStore(tmp_path_factory.mktemp("objects"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PACK_BYTES", 4000)
        packer = Packer(store, GrowingLog(ROWS))
        for last in sorted(lasts):
            packer = Packer(store, GrowingLog(ROWS)) if anew else packer
            packer.pack_all(last)
            whole = Packer(store, GrowingLog(ROWS))
            before = store.requests["PUT"]
            whole.pack_all(last)
            assert store.requests["PUT"] == before
    firsts = {first for first, _ in packs(store)}
    longest = [max(last for begin, last in packs(store) if begin == first) for first in firsts]
    assert sorted(firsts)[1:] == [last + 1 for last in sorted(longest)[:-1]]


def test_no_pack_within_an_epoch_exceeds_the_size_limit(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "PACK_BYTES", 6000)
    _one_each(store, len(ROWS))
    for first, last in packs(store):
        assert sum(len(row[2]) for row in ROWS[first - 1 : last]) <= 6000


def test_a_long_epoch_is_packed_again_after_each_full_pack(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "PACK_BYTES", 6000)
    _one_each(store, len(ROWS))
    whole = {last for first, last in packs(store) if first == 1}
    at = 1
    while here := [last for first, last in packs(store) if first == at]:
        at = max(here) + 1
    assert sum(len(row[2]) for row in ROWS[at - 1 :]) < 6000
    assert max(whole) > 8


@given(st.integers(0, 12), st.sets(st.integers(1, len(ROWS))))
def test_consecutive_packs_end_at_a_segment_when_the_packer_dies(
    tmp_path_factory: pytest.TempPathFactory, puts: int, ends: set[int]
) -> None:
    class Dying(CountingStore):
        left = puts

        def create(self, key: str, data: bytes) -> str:
            if self.left == 0:
                raise Unavailable(f"{key} cannot be reached")
            self.left -= 1
            return super().create(key, data)

    cuts = sorted({*ends, len(ROWS)})
    root = tmp_path_factory.mktemp("objects")
    write_segments(CountingStore(root), ROWS, cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PACK_BYTES", 3000)
        packer = Packer(Dying(root), GrowingLog(ROWS))
        try:
            packer.pack_all(len(ROWS))
        except Unavailable:
            assert packer.due
    found = packs(CountingStore(root))
    at = 1
    while here := [last for first, last in found if first == at]:
        at = max(here) + 1
    assert at - 1 in {0, *cuts}
    assert list(read.read(CountingStore(root), QUEUE_ID)) == ROWS


def test_a_failed_pack_of_the_whole_log_stays_due_until_it_succeeds(tmp_path: Path) -> None:
    store = ForgetfulStore(tmp_path / "objects")
    packer = Packer(store, GrowingLog(ROWS))
    store.lost = 1
    with pytest.raises(Unavailable):
        packer.pack_all(20)
    for seq in range(21, 29):
        packer.add_segment(seq, seq)
    while packer.due:
        packer.pack()
    assert packs(store) == [(1, 20), (21, 28)]
