"""Cost of appending an event, compared with a raw `sqlite3` commit of the same row."""

import sqlite3
from pathlib import Path

from tests.bench.figures import Figure, alternate
from tests.support.logs import START

from spawn.core.domain.codec import encode
from spawn.core.domain.events import Draft, JobStarted, to_event
from spawn.core.values.timestamps import format_timestamp
from spawn.store.log.write import Entry, LogWriter

ROUNDS = 1000
CLAIM = 1.5


def measure(folder: Path) -> Figure:
    """Append one event per transaction in both ways."""
    writer = LogWriter(folder / "ours.db")
    LogWriter(folder / "raw.db").close()
    raw = sqlite3.connect(folder / "raw.db", isolation_level=None)
    raw.execute("PRAGMA synchronous = FULL")
    started = JobStarted(token="0123456789abcdef", pid=4711, folder="/x" * 40, log_file="/y" * 20)
    seqs = {"ours": 0, "raw": 0}

    def event(who: str) -> Entry:
        seqs[who] += 1
        sealed = to_event(
            Draft(started, job_id="train", attempt=1),
            seq=seqs[who],
            queue_id="q",
            epoch=1,
            at=format_timestamp(START),
        )
        return sealed, encode(sealed), bytes(32)

    def ours() -> None:
        writer.append([event("ours")], expected_seq=seqs["ours"])

    def plain() -> None:
        sealed, line, hash_ = event("raw")
        raw.execute("BEGIN IMMEDIATE")
        row = (sealed.seq, sealed.type, sealed.job_id, sealed.at, line.decode(), hash_)
        raw.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)
        raw.execute("COMMIT")

    mine, theirs = alternate(ours, plain, ROUNDS)
    writer.close()
    raw.close()
    ratio = mine / theirs
    return Figure(
        what="append",
        found=f"{ratio:.2f} × ({mine * 1e6:.0f} µs, raw {theirs * 1e6:.0f} µs)",
        claim=f"at most {CLAIM} × a raw `sqlite3` commit of the same row",
        holds=ratio <= CLAIM,
        how=f"{ROUNDS} events, one durable transaction each, the two logs in turn; medians.",
    )
