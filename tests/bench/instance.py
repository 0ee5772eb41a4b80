"""Cost of commands that query an instance, compared with `ssh` printing a file."""

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.figures import Figure
from tests.support.instances import Instance, instance_in
from tests.support.logs import synthetic, write_log
from tests.support.queues import SPAWN, job, until
from tests.support.s3 import moto
from tests.support.sshd import missing

ROUNDS = 21
CLAIM = 1.6
MANY = 100_000
LONG = 6
"""Limit, as a multiple of the time for a short log, with the log already cached."""


def measure(folder: Path) -> list[Figure]:
    """Time `spawn queue status i-...` cold and warm against `ssh host cat file`."""
    claim = f"at most {CLAIM} × `ssh host cat file`"
    if missing():
        sys.exit(f"{missing()} is needed for this benchmark")
    with moto(folder) as aws, instance_in(folder, aws) as instance:
        instance.start_feed()
        queue = instance.queue(job("a", "true"), job("b", until("end"), "a")).detach()
        queue.wait_executing("b")
        try:
            return _figures(instance, claim)
        finally:
            instance.world.release("end")
            queue.wait_idle()


def _figures(instance: Instance, claim: str) -> list[Figure]:
    person = instance.person
    server = instance.server
    person.laptop.add_known_hosts(server.known_hosts_line(f"[{server.host}]:{server.port}"))
    data = person.laptop.folder / "data"
    data.write_text("x" * 2000)
    environ = {key: value for key, value in person.environ.items() if key != "PYTHONPATH"}
    status = [SPAWN, "queue", "status", instance.id]
    ssh = ["ssh", "-F", str(person.laptop.config), "-o", "BatchMode=yes"]
    cat = [*ssh, instance.id, f"cat {data}"]

    def timed(command: list[str]) -> float:
        began = time.perf_counter()
        subprocess.run(command, env=environ, check=True, capture_output=True)
        return time.perf_counter() - began

    def forget() -> None:
        shutil.rmtree(person.cache, ignore_errors=True)

    def compared(before: Callable[[], None], rounds: int) -> tuple[float, float, str]:
        pairs = []
        for _ in range(rounds):
            before()
            pairs.append((timed(status), timed(cat)))
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        ours, theirs = (statistics.median(each) * 1e3 for each in zip(*pairs, strict=True))
        return ratio, ours / 1e3, f"{ratio:.2f} × ({ours:.0f} ms, ssh {theirs:.0f} ms)"

    timed(status)
    cold, _, cold_said = compared(forget, ROUNDS)
    timed(status)
    warm, short, warm_said = compared(lambda: None, ROUNDS)
    many = [*status, "--queue", "many"]
    paths = instance.world.roots.queue("many")
    paths.folder.mkdir(parents=True)
    write_log(paths.events, synthetic(MANY, jobs=200, queue_id="many"))
    first, again = timed(many), statistics.median(timed(many) for _ in range(5))
    pairs = f"{ROUNDS} pairs of processes over loopback, the same keys; the median of the ratios."
    return [
        Figure(
            what="`queue status <instance>`, nothing read before",
            found=cold_said,
            claim=claim,
            holds=cold <= CLAIM,
            how=f"{pairs} No way, log or key is cached; `known_hosts` has the host's key, as for "
            "ssh.",
        ),
        Figure(
            what="`queue status <instance>`, read before",
            found=warm_said,
            claim=claim,
            holds=warm <= CLAIM,
            how=pairs,
        ),
        Figure(
            what=f"`queue status <instance>` of {MANY:,} events",
            found=f"{first:.1f} s the first time, from then on {again / short:.1f} × "
            f"({again:.2f} s)",
            claim=f"under 10 s, from then on at most {LONG} × a queue of seven events",
            holds=first < 10 and again <= LONG * short,
            how="A queue of 200 jobs; its log comes over once, and is replayed each time, its "
            "chain verified.",
        ),
    ]
