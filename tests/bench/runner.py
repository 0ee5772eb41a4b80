"""Cost of a runner while a job runs."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.figures import Figure

CLAIM_MB = 60
CLAIM_WAKES = 1.0
SECONDS = 20


def measure(folder: Path) -> Figure:
    """Measure a runner, its zygote and the job's supervisor while the job is idle."""
    config = folder / "queue.json"
    jobs = [{"job_id": "a", "command": f"sleep {SECONDS + 5}"}, {"job_id": "b", "command": "true"}]
    config.write_text(json.dumps({"queue_id": "idle", "jobs": jobs}))
    spawn = str(Path(sys.executable).with_name("spawn"))
    environ = {**os.environ, "SPAWN_HOME": str(folder / "home")}
    command = [spawn, "queue", "run", str(config), "--no-s3", "--detach"]
    subprocess.run(command, env=environ, check=True, capture_output=True)
    log = sqlite3.connect(f"file:{folder}/home/state/queues/idle/events.db?mode=ro", uri=True)
    while not (pids := _pids(log)):
        time.sleep(0.1)
    time.sleep(2)
    family = {pids[0], *_descendants(pids[0])}
    before = {pid: _wakes(pid) for pid in family}
    time.sleep(SECONDS)
    wakes = {pid: (_wakes(pid) - before[pid]) / SECONDS for pid in family}
    whole = sum(_kib(pid, "smaps_rollup", "Pss") for pid in family) / 1024
    runner = _kib(pids[0], "status", "VmRSS") / 1024
    subprocess.run([spawn, "queue", "cancel", "idle"], env=environ, check=True, capture_output=True)
    busiest = max(wakes.values())
    return Figure(
        what="the runner while a job runs",
        found=f"{runner:.0f} MB, {whole:.0f} MB with all that belongs to it (Pss); the busiest "
        f"process wakes {busiest:.2f} times a second",
        claim=f"under {CLAIM_MB} MB, and nothing polls faster than once a second",
        holds=runner < CLAIM_MB and busiest <= CLAIM_WAKES,
        how=f"resident memory; voluntary context switches over {SECONDS} s of a job that sleeps.",
    )


def _pids(log: sqlite3.Connection) -> list[int]:
    query = "SELECT json_extract(line, '$.data.pid') FROM events WHERE type = ?"
    started = log.execute(query, ("JobStarted",)).fetchall()
    owner = log.execute(query, ("QueueStarted",)).fetchall()
    return [owner[0][0]] if started and owner else []


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *_descendants(child)]
    return found


def _wakes(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[0])


def _kib(pid: int, file: str, field: str) -> int:
    text = Path(f"/proc/{pid}/{file}").read_text()
    return int(re.findall(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)[0])
