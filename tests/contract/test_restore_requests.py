"""Reading a log of 100,000 events takes fewer than 50 requests, however it was shipped."""

from collections.abc import Callable, Iterator
from itertools import accumulate, count, repeat, takewhile
from pathlib import Path
from random import Random

import pytest
from tests.support.logs import QUEUE_ID, synthetic
from tests.support.replicas import CountingStore, GrowingLog, lease, write_segments
from tests.support.soak import always_then_gate, scaled

from spawn.core.domain.replay import Row
from spawn.store.replica import names
from spawn.store.replica.pack import Packer
from spawn.store.replica.reconcile import reconcile

EVENTS = scaled(20_000, 100_000)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """A log of 100,000 events, about 280 bytes each."""
    return [
        (seq, type_.encode(), line.encode(), hash_)
        for seq, type_, _, _, line, hash_ in synthetic(EVENTS)
    ]


def _one(_: Random) -> Iterator[int]:
    return repeat(1)


def _some(random: Random) -> Iterator[int]:
    return (random.randint(1, 6) for _ in count())


def _many(random: Random) -> Iterator[int]:
    """Outages, each followed by a backlog in large segments."""
    return (random.choice((1, 1, 1, 1, 1, 1, 1, 9_000)) for _ in count())


def _replicate(
    store: CountingStore, rows: list[Row], sizes: Iterator[int], *, epoch_ends: frozenset[int]
) -> None:
    """Write the replica of runners that were killed, so that none packed the log at its end."""
    ends = [*takewhile(lambda end: end < len(rows), accumulate(sizes)), len(rows)]
    write_segments(store, rows, ends)
    log = GrowingLog(rows)
    packer = Packer(store, log)
    first = 1
    for end in ends:
        packer.add_segment(first, end)
        while packer.due:
            packer.pack()
        if any(each in epoch_ends for each in range(first, end + 1)):
            packer = Packer(store, log)
            packer.pack_all(end)
        first = end + 1
    lease(store, rows[-1])


@pytest.mark.parametrize(
    ("sizes", "epochs", "events"),
    always_then_gate(
        # 84,495 is the worst of all lengths up to 100,000: the most small packs before they are
        # merged, after the most whole pieces.
        [(_one, 0, EVENTS)],
        [
            (_one, 0, 84_495),
            (_one, 8, EVENTS),
            (_some, 0, EVENTS),
            (_many, 0, EVENTS),
            (_many, 40, EVENTS),
        ],
    ),
)
def test_up_to_100_000_events_are_read_in_under_50_requests(
    tmp_path: Path,
    rows: list[Row],
    sizes: Callable[[Random], Iterator[int]],
    epochs: int,
    events: int,
) -> None:
    random = Random(1)
    ends = frozenset(random.randrange(1, events) for _ in range(epochs))
    writing = CountingStore(tmp_path / "objects")
    _replicate(writing, rows[:events], sizes(random), epoch_ends=ends)
    store = CountingStore(tmp_path / "objects")
    restored: list[Row] = []
    found = reconcile(store, QUEUE_ID, lambda after: restored[after:], restored.extend)
    assert restored == rows[:events]
    assert (found.seq, found.fetched) == (events, events)
    print(f"{store.requests.total()} requests: {dict(store.requests)}")
    assert store.requests.total() < 50


@pytest.mark.gate
def test_packs_of_a_long_epoch_need_a_sixth_of_the_segments_requests(
    tmp_path: Path, rows: list[Row]
) -> None:
    store = CountingStore(tmp_path / "objects")
    _replicate(store, rows[:20_000], repeat(1), epoch_ends=frozenset())
    packs = sum(1 for path in (store.folder / names.PACKS).iterdir())
    assert packs < 20_000 / 5.9
