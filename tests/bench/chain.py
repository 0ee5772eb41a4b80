"""Cost of a job, compared with a bare loop that makes two durable commits per command."""

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
    """Time a chain of `true` and the loop in turn, three times each."""
    ours, theirs = [], []
    for number in range(3):
        theirs.append(_loop(folder / f"loop-{number}.db"))
        ours.append(run(folder / f"home-{number}", JOBS))
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
        more=tuple(_profile(folder, mine / JOBS)),
    )


def _profile(folder: Path, job: float) -> list[str]:
    """Break down a job's time, in ms."""
    log = sqlite3.connect(f"file:{folder}/home-1/state/queues/chain/events.db?mode=ro", uri=True)
    query = "SELECT avg(json_extract(line, '$.data.wall_seconds')) FROM events WHERE type = ?"
    (command,) = log.execute(query, ("JobCompleted",)).fetchone()
    log.close()
    commit = _commit(folder / "commits.db")
    bash = _bash()
    parts = (
        ("`bash -c true` by itself: start, run, reap", bash),
        (
            "what it costs more behind the gate: to wake, to exec out of a Python process",
            command - bash,
        ),
        ("the commit: `JobCompleted` and the next `JobStarted` in one transaction", commit),
        (
            "decide, encode, judge, hash; four messages between three processes",
            job - command - commit,
        ),
    )
    lines = [f"A job of the chain, {job * 1e3:.2f} ms:", "", "| part | ms |", "| --- | --- |"]
    return [*lines, *(f"| {what} | {seconds * 1e3:.2f} |" for what, seconds in parts)]


def _commit(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, line TEXT)")
    began = time.perf_counter()
    for _ in range(JOBS):
        connection.execute("BEGIN")
        for _ in range(2):
            connection.execute("INSERT INTO events (line) VALUES (?)", ("x" * 300,))
        connection.execute("COMMIT")
    seconds = time.perf_counter() - began
    connection.close()
    return seconds / JOBS


def _bash() -> float:
    began = time.perf_counter()
    for _ in range(JOBS):
        os.waitpid(os.posix_spawn("/bin/bash", ["bash", "-c", "true"], os.environ), 0)
    return (time.perf_counter() - began) / JOBS


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


def run(home: Path, count: int) -> float:
    """Run a chain of `count` jobs; returns its duration by its own log, in seconds."""
    home.mkdir()
    jobs = [
        {"job_id": f"job-{n}", "command": "true", "depends_on": [f"job-{n - 1}"] if n else []}
        for n in range(count)
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
