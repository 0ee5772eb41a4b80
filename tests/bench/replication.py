"""Lag and cost of the replica, compared with litestream on the same commits."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

from tests.bench.figures import Figure
from tests.support.proxy import ProxiedRequest, Proxy
from tests.support.s3 import Server, moto
from tests.support.wait import wait_until

from spawn.core.values.timestamps import parse_timestamp
from spawn.store.replica import names

P50, P99 = 0.4, 1.0
PUT_SECONDS = 0.04
"""Latency of a PUT to S3 within its region, added to the server's own time."""
JOBS = 120
IDLE_SECONDS = 30
MB = 100
PUT_DOLLARS, GET_DOLLARS = 0.005 / 1000, 0.0004 / 1000
"""Prices of S3 Standard in us-east-1; a LIST costs as much as a PUT. Source: the S3 price list."""
BUCKET = "bench"


def measure(folder: Path) -> list[Figure]:
    """Run a queue against an HTTP server, then litestream with the same commits."""
    with moto(folder) as server:
        proxy = Proxy(server.endpoint)
        environ = {**os.environ, **Server(proxy.endpoint).environ, "SPAWN_HOME": str(folder / "h")}
        environ.pop("AWS_CA_BUNDLE", None)
        with proxy.fault("late", "PUT", seconds=PUT_SECONDS):
            log = _run(folder, environ)
            ours = _lags(log, proxy.asked)
            requests = list(proxy.asked)
            idle, memory = _idle(folder, environ, proxy)
            theirs, their_puts, their_idle = _litestream(folder, environ, log, proxy)
    puts = [each for each in requests if each.method == "PUT"]
    logs = [each for each in puts if "_spawn/" in each.key]
    dollars = _dollars(requests) / JOBS * 1000
    hourly = _dollars(idle) / IDLE_SECONDS * 3600
    p50, p99 = _percentiles(ours)
    l50, l99 = _percentiles(theirs)
    return [
        Figure(
            what="replication lag",
            found=f"p50 {p50:.2f} s, p99 {p99:.2f} s; "
            f"litestream on the same writes p50 {l50:.2f} s, p99 {l99:.2f} s",
            claim=f"p50 under {P50} s, p99 under {P99:g} s",
            holds=p50 < P50 and p99 < P99,
            how=f"{JOBS} jobs of 0.2 to 0.4 s in a chain; from each event's own time to the answer "
            f"to the PUT that holds it, with {PUT_SECONDS * 1e3:.0f} ms added to each PUT. "
            "litestream: from each commit to the answer to the first PUT begun after it.",
        ),
        Figure(
            what="what S3 costs",
            found=f"{len(logs) / JOBS * 1000:.0f} PUTs for the log of 1,000 such jobs, "
            f"{len(puts) / JOBS * 1000:.0f} with their output: {dollars:.3f} dollars; "
            f"{hourly:.4f} dollars an idle hour ({len(idle) / IDLE_SECONDS * 3600:.0f} requests); "
            f"litestream on the same writes: {their_puts / JOBS * 1000:.0f} PUTs, "
            f"{_dollars(their_idle) / IDLE_SECONDS * 3600:.4f} dollars an idle hour",
            claim="none when nothing happens but the lease, every 10 s",
            holds=len(idle) <= IDLE_SECONDS / 10 + 1,
            how=f"requests counted between runner and server; idle: {IDLE_SECONDS} s of a job that "
            "sleeps, as an hour.",
        ),
        Figure(
            what="the runner while a job runs, with S3",
            found=f"{memory:.0f} MB",
            claim=f"under {MB} MB",
            holds=memory < MB,
            how="resident memory of the runner, in the same run.",
        ),
    ]


def _run(folder: Path, environ: dict[str, str]) -> Path:
    jobs = [
        {
            "job_id": f"j{n}",
            "command": f"sleep 0.{2 + n % 3}",
            "depends_on": [f"j{n - 1}"] if n else [],
        }
        for n in range(JOBS)
    ]
    _spawn(folder, environ, "chain", jobs)
    return folder / "h/state/queues/chain/events.db"


def _spawn(
    folder: Path, environ: dict[str, str], queue_id: str, jobs: list[dict[str, object]], *more: str
) -> None:
    file = folder / f"{queue_id}.json"
    file.write_text(json.dumps({"queue_id": queue_id, "jobs": jobs}))
    spawn = str(Path(sys.executable).with_name("spawn"))
    command = [spawn, "queue", "run", str(file), "--bucket", BUCKET, *more]
    subprocess.run(command, env=environ, check=True, capture_output=True)


def _events(log: Path) -> list[tuple[int, float, str]]:
    """Return each event of a log: seq, commit time, line."""
    connection = sqlite3.connect(f"file:{log}?mode=ro", uri=True)
    rows = connection.execute("SELECT seq, at, line FROM events ORDER BY seq").fetchall()
    connection.close()
    return [(seq, parse_timestamp(at).timestamp(), line) for seq, at, line in rows]


def _lags(log: Path, asked: list[ProxiedRequest]) -> list[float]:
    """Return the seconds from each event to the response for its segment."""
    segments = sorted(
        (first, each.at)
        for each in asked
        if each.method == "PUT"
        and each.status == 200
        and (first := names.parse_segment(each.key.partition("/")[2])) is not None
    )
    lags = []
    for seq, at, _ in _events(log):
        arrived = max((each for each in segments if each[0] <= seq), default=None)
        assert arrived is not None, f"event {seq} is in no segment"
        lags.append(arrived[1] - at)
    return lags


def _idle(
    folder: Path, environ: dict[str, str], proxy: Proxy
) -> tuple[list[ProxiedRequest], float]:
    _spawn(folder, environ, "idle", [{"job_id": "a", "command": "sleep 600"}], "--detach")
    log = folder / "h/state/queues/idle/events.db"
    wait_until(lambda: len(_events(log)) == 3, seconds=30, what="the job runs")
    time.sleep(3)
    before = len(proxy.asked)
    time.sleep(IDLE_SECONDS)
    found = proxy.asked[before:]
    pid = json.loads(_events(log)[1][2])["data"]["pid"]
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    spawn = str(Path(sys.executable).with_name("spawn"))
    subprocess.run([spawn, "queue", "cancel", "idle"], env=environ, check=True, capture_output=True)
    return found, int(line.split()[1]) / 1024


def _litestream(
    folder: Path, environ: dict[str, str], log: Path, proxy: Proxy
) -> tuple[list[float], int, list[ProxiedRequest]]:
    """Write the same rows at the same intervals and observe when litestream replicates them.

    Returns:
        The lag of each row, the PUTs meanwhile, and the requests while idle.
    """
    database = folder / "litestream.db"
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, line TEXT)")
    events = _events(log)
    with _replicating(folder, environ, database):
        wait_until(
            lambda: any(each.method == "PUT" and "ltx" in each.key for each in proxy.asked),
            seconds=30,
            what="litestream has begun",
        )
        time.sleep(2)
        before = len(proxy.asked)
        commits = []
        start, first = time.time(), events[0][1]
        for seq, at, line in events:
            time.sleep(max(0.0, start + at - first - time.time()))
            connection.execute("INSERT INTO events VALUES (?, ?)", (seq, line))
            commits.append(time.time())
        time.sleep(3)
        end = len(proxy.asked)
        time.sleep(IDLE_SECONDS)
        idle = proxy.asked[end:]
    connection.close()
    all_puts = [each for each in proxy.asked[before:end] if each.method in ("PUT", "POST")]
    puts = [each.at for each in all_puts if "ltx" in each.key]
    lags = [
        next(at for at in puts if at - PUT_SECONDS >= committed) - committed
        for committed in commits
    ]
    return lags, len(all_puts), idle


@contextmanager
def _replicating(folder: Path, environ: dict[str, str], database: Path) -> Iterator[None]:
    config = folder / "litestream.yml"
    config.write_text(
        f"dbs:\n  - path: {database}\n    replica:\n      type: s3\n      bucket: {BUCKET}\n"
        f"      path: litestream\n      endpoint: {environ['AWS_ENDPOINT_URL']}\n"
        "      region: us-east-1\n      force-path-style: true\n"
    )
    program = str(Path(sys.executable).with_name("litestream"))
    with open(folder / "litestream.log", "wb") as out:
        process = subprocess.Popen(
            [program, "replicate", "-config", str(config)], env=environ, stdout=out, stderr=out
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _percentiles(lags: list[float]) -> tuple[float, float]:
    cuts = quantiles(lags, n=100)
    return cuts[49], cuts[98]


def _dollars(requests: list[ProxiedRequest]) -> float:
    dear = sum(each.method in ("PUT", "POST") or "list-type" in each.key for each in requests)
    return dear * PUT_DOLLARS + (len(requests) - dear) * GET_DOLLARS
