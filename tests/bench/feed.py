"""What a watch costs through a feed while nothing happens."""

import time
from pathlib import Path

from tests.bench.figures import Figure
from tests.support.feeds import Laptop, feed_of
from tests.support.queues import job, until, world_in

from spawn.cli.bootstrap import now

ROUNDS = 1000
CLAIM_MS = 10.0
CLAIM_BYTES = 1000


def measure(folder: Path) -> Figure:
    """Refresh and report a queue of a job that runs, again and again; both sides count."""
    with world_in(folder) as world, feed_of(world) as feed:
        queue = world.queue(job("a", f"echo 'step 1 of 3'; {until('end')}")).detach("--no-s3")
        queue.wait_executing("a")
        with Laptop(folder / "laptop", feed.address).open() as source:
            source.refresh()
            before = time.process_time() + feed.cpu(), source.traffic
            for _ in range(ROUNDS):
                source.refresh()
                source.report(now())
            after = time.process_time() + feed.cpu(), source.traffic
        memory = feed.memory() / 1e6
        world.let("end")
        queue.wait_idle()
    cost = (after[0] - before[0]) / ROUNDS * 1e3
    size = (after[1] - before[1]) / ROUNDS
    return Figure(
        what="a watch refresh with no news",
        found=f"{cost:.1f} ms of CPU, {size:.0f} bytes",
        claim=f"under {CLAIM_MS:.0f} ms of CPU, under 1 KB on the wire",
        holds=cost < CLAIM_MS and size < CLAIM_BYTES,
        how=f"{ROUNDS} refreshes through a feed, one job that runs; CPU of both sides, bytes of "
        f"HTTP both ways. The feed holds {memory:.0f} MB.",
    )
