"""What a job costs, beside the same commands from a bare loop with two durable commits a job."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.figures import Figure

JOBS = 1000
CLAIM = 2.5


def measure(folder: Path) -> Figure:
    """Time a chain of `true`, in turn with the loop, three times."""
    ours, theirs = [], []
    for number in range(3):
        theirs.append(_loop(folder / f"loop-{number}.db"))
        ours.append(_queue(folder / f"home-{number}"))
    mine, bare = sorted(ours)[1], sorted(theirs)[1]
    ratio = mine / bare
    return Figure(
        what="a chain of 1,000 `true`",
        found=f"{ratio:.1f} × ({mine / JOBS * 1e3:.2f} ms a job, the loop "
        f"{bare / JOBS * 1e3:.2f} ms)",
        claim=f"at most {CLAIM} × a bare loop with two fsynced commits a job",
        holds=ratio <= CLAIM,
        how="the queue from its first event to its last by its own log, detached; the loop in "
        "Python, `subprocess.run` and two SQLite commits a job; the median of three.",
    )


def _loop(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, line TEXT)")
    began = time.perf_counter()
    for _ in range(JOBS):
        connection.execute("INSERT INTO events (line) VALUES (?)", ("x" * 300,))
        subprocess.run(["/bin/bash", "-c", "true"], check=True)
        connection.execute("INSERT INTO events (line) VALUES (?)", ("x" * 300,))
    seconds = time.perf_counter() - began
    connection.close()
    return seconds


def _queue(home: Path) -> float:
    home.mkdir()
    jobs = [
        {"job_id": f"job-{n}", "command": "true", "depends_on": [f"job-{n - 1}"] if n else []}
        for n in range(JOBS)
    ]
    config = home / "queue.json"
    config.write_text(json.dumps({"queue_id": "chain", "jobs": jobs}))
    environ = {**os.environ, "SPAWN_HOME": str(home)}
    spawn = str(Path(sys.executable).with_name("spawn"))
    command = [spawn, "queue", "run", str(config), "--no-s3", "--detach"]
    subprocess.run(command, env=environ, check=True, capture_output=True)
    log = sqlite3.connect(f"file:{home}/state/queues/chain/events.db?mode=ro", uri=True)
    query = (
        "SELECT (julianday(max(at)) - julianday(min(at))) * 86400, max(type = 'QueueCompleted') "
        "FROM events"
    )
    while True:
        seconds, ended = log.execute(query).fetchone()
        if ended:
            log.close()
            return float(seconds)
        time.sleep(0.25)
