"""Cost of reading a long log back from its replica."""

import time
from pathlib import Path

from tests.bench.figures import Figure
from tests.support.logs import QUEUE_ID, synthetic
from tests.support.replicas import CountingStore, GrowingLog, lease, write_segments

from spawn.core.domain.replay import Row
from spawn.store.replica.pack import Packer
from spawn.store.replica.reconcile import reconcile

EVENTS = 84_495
"""The worst length up to 100,000: it has the most small packs."""
CLAIM = 50


def measure(folder: Path) -> Figure:
    """Restore the log of one unfinished epoch, one event per segment."""
    rows: list[Row] = [
        (seq, type_.encode(), line.encode(), hash_)
        for seq, type_, _, _, line, hash_ in synthetic(EVENTS)
    ]
    writing = CountingStore(folder / "objects")
    write_segments(writing, rows, range(1, EVENTS + 1))
    packer = Packer(writing, GrowingLog(rows))
    for seq in range(1, EVENTS + 1):
        packer.add_segment(seq, seq)
        while packer.due:
            packer.pack()
    lease(writing, rows[-1])
    store = CountingStore(folder / "objects")
    restored: list[Row] = []
    began = time.perf_counter()
    reconcile(store, QUEUE_ID, lambda after: restored[after:], restored.extend)
    seconds = time.perf_counter() - began
    assert restored == rows
    requests = store.requests.total()
    return Figure(
        what="restoring a log from its replica",
        found=f"{requests} requests for {EVENTS:,} events, {seconds:.1f} s without a network",
        claim=f"under {CLAIM} requests for 100,000 events",
        holds=requests < CLAIM,
        how="one event a segment, one epoch that never ended, of the length up to 100,000 that "
        "needs the most; every GET and every page of a LIST counts; chain and legality checked.",
    )
