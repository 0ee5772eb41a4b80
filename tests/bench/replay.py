"""Cost of replaying a long log."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from tests.bench.figures import Figure

CLAIM = 1.5
"""Limit, as a multiple of a loop that only reads, hashes and decodes."""
SECONDS, FAST = 4.0, 11
"""Seconds allowed on a machine that starts `python -c pass` in this many milliseconds."""
EVENTS = 1_000_000

_CHILD = """
import json, resource, sys, time
from pathlib import Path
from datetime import UTC, datetime
from spawn.core.reports.build import build
from spawn.store.log.read import replay
began = time.perf_counter()
fold = replay(Path(sys.argv[1]), sys.argv[2])
report = build(fold.state, datetime.now(UTC))
seconds = time.perf_counter() - began
print(json.dumps([fold.seq, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""

_BARE = """
import json, sqlite3, sys, time
from hashlib import sha256
from msgspec.json import Decoder
began = time.perf_counter()
seq, head, decode = 0, b"", Decoder().decode
for seq, line in sqlite3.connect(sys.argv[1]).execute("select seq, line from events order by seq"):
    head = sha256(head + line.encode()).digest()
    decode(line)
print(json.dumps([seq, time.perf_counter() - began, 0]))
"""


def measure(folder: Path) -> Figure:
    """Replay a million events for time, and a tenth of them for memory."""
    from tests.support.logs import QUEUE_ID, synthetic, write_log

    small, large = folder / "small.db", folder / "large.db"
    write_log(small, synthetic(EVENTS // 10))
    write_log(large, synthetic(EVENTS))
    _, _, small_memory = _child(_CHILD, small, QUEUE_ID)
    pairs = [(_child(_CHILD, large, QUEUE_ID), _child(_BARE, large)) for _ in range(5)]
    ratio = median(ours[1] / bare[1] for ours, bare in pairs)
    events, seconds, memory = sorted(ours for ours, _ in pairs)[2]
    return Figure(
        what="replay",
        found=f"{ratio:.2f} × ({seconds:.2f} s for {events:,} events); {memory:.0f} MB, "
        f"{small_memory:.0f} MB for a tenth of them",
        claim=f"at most {CLAIM} × reading, hashing and decoding the same lines, memory by jobs "
        f"and not by events; on a machine of {FAST} ms to `python -c pass`, {SECONDS:g} s",
        holds=ratio <= CLAIM and memory < 1.3 * small_memory,
        how="from SQLite to a report, the chain verified, in a process of its own; five in turn "
        "with a loop that reads the lines, chains their hashes and decodes them to dictionaries; "
        "medians.",
    )


def _child(code: str, log: Path, *arguments: str) -> tuple[int, float, float]:
    done = subprocess.run(
        [sys.executable, "-c", code, str(log), *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return tuple(json.loads(done.stdout))
