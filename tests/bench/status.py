"""Cost of `status`, compared with an interpreter that does nothing."""

import os
import subprocess
import sys
from pathlib import Path

from tests.bench.figures import Figure, alternate

ROUNDS = 25
CLAIM = 10


def measure(folder: Path) -> Figure:
    """Time `spawn queue status local` on the example queue against `python -c pass`."""
    environ = {**os.environ, "SPAWN_HOME": str(folder / "home")}
    spawn = str(Path(sys.executable).with_name("spawn"))
    jobs = ", ".join(f'{{"job_id": "{name}", "command": "true"}}' for name in ("a", "b", "c", "d"))
    config = folder / "queue.json"
    config.write_text(f'{{"jobs": [{jobs}]}}')
    subprocess.run(
        [spawn, "queue", "run", str(config), "--no-s3"],
        env=environ,
        check=True,
        capture_output=True,
    )

    def look() -> None:
        subprocess.run(
            [spawn, "queue", "status", "local"], env=environ, check=True, capture_output=True
        )

    def nothing() -> None:
        subprocess.run([sys.executable, "-c", "pass"], env=environ, check=True)

    ours, theirs = alternate(look, nothing, ROUNDS)
    ratio = ours / theirs
    return Figure(
        what="`queue status local`",
        found=f"{ratio:.1f} × ({ours * 1e3:.0f} ms, `python -c pass` {theirs * 1e3:.0f} ms)",
        claim=f"at most {CLAIM} × `python -c pass`",
        holds=ratio <= CLAIM,
        how=f"{ROUNDS} runs of each in turn, a queue of four jobs; medians.",
    )
