"""What a long log costs to replay."""

import json
import subprocess
import sys
from pathlib import Path

from tests.bench.figures import Figure

CLAIM = 4.0
EVENTS = 1_000_000

_CHILD = """
import json, resource, sys, time
from pathlib import Path
from datetime import UTC, datetime
from spawn.core.report.build import build
from spawn.store.log.read import replay
began = time.perf_counter()
fold = replay(Path(sys.argv[1]), sys.argv[2])
report = build(fold.state, datetime.now(UTC))
seconds = time.perf_counter() - began
print(json.dumps([fold.seq, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def measure(folder: Path) -> Figure:
    """Replay a million events, and a tenth of them for their memory."""
    from tests.support.logs import QUEUE_ID, synthetic, write_log

    small, large = folder / "small.db", folder / "large.db"
    write_log(small, synthetic(EVENTS // 10))
    write_log(large, synthetic(EVENTS))
    _, _, small_memory = _replay(small, QUEUE_ID)
    runs = sorted(_replay(large, QUEUE_ID) for _ in range(3))
    events, seconds, memory = runs[1]
    return Figure(
        what="replay",
        found=f"{seconds:.2f} s for {events:,} events; {memory:.0f} MB, "
        f"{small_memory:.0f} MB for a tenth of them",
        claim=f"1,000,000 events in at most {CLAIM} s, memory by jobs and not by events",
        holds=seconds <= CLAIM and memory < 1.3 * small_memory,
        how="from SQLite to a report, the chain verified, in a process of its own; "
        "the median of three.",
    )


def _replay(log: Path, queue_id: str) -> tuple[int, float, float]:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(log), queue_id],
        check=True,
        capture_output=True,
        text=True,
    )
    return tuple(json.loads(done.stdout))
