"""Cost of watching an idle queue through a feed."""

import time
from pathlib import Path

from tests.bench.figures import Figure
from tests.support.feeds import Feed, Laptop, feed_of
from tests.support.queues import job, until, world_in

from spawn.cli.host import now
from spawn.cli.sources.feed import FeedQueue

ROUNDS = 1000
CLAIM_MS = 10.0
CLAIM_BYTES = 1000
START_SECONDS = 2.0
WAIT_SECONDS = 20.0
CLAIM_WAIT = 0.05


def measure(folder: Path) -> list[Figure]:
    """Refresh and report a running queue repeatedly, counting both sides; then long-poll without
    news.
    """
    with world_in(folder) as world, feed_of(world) as feed:
        queue = world.queue(job("a", f"echo 'step 1 of 3'; {until('end')}")).detach("--no-s3")
        queue.wait_executing("a")
        start = feed.cpu()
        with Laptop(folder / "laptop", feed.address).open() as source:
            source.refresh()
            before = time.process_time() + feed.cpu(), source.traffic
            for _ in range(ROUNDS):
                source.refresh()
                source.report(now())
            after = time.process_time() + feed.cpu(), source.traffic
            waited = _cpu_of_a_wait(feed, source)
        memory = feed.memory() / 1e6
        world.release("end")
        queue.wait_idle()
    cost = (after[0] - before[0]) / ROUNDS * 1e3
    size = (after[1] - before[1]) / ROUNDS
    return [
        Figure(
            what="a watch refresh with no news",
            found=f"{cost:.1f} ms of CPU, {size:.0f} bytes",
            claim=f"under {CLAIM_MS:.0f} ms of CPU, under 1 KB on the wire",
            holds=cost < CLAIM_MS and size < CLAIM_BYTES,
            how=f"{ROUNDS} refreshes through a feed, one job that runs; CPU of both sides, bytes "
            f"of HTTP both ways. The feed holds {memory:.0f} MB.",
        ),
        Figure(
            what="a feed that starts, and one whose client waits",
            found=f"{start:.1f} s of CPU to start, then {waited:.1%} of a core",
            claim=f"under {START_SECONDS:.0f} s of CPU to start, then under {CLAIM_WAIT:.0%} of a "
            "core",
            holds=start < START_SECONDS and waited < CLAIM_WAIT,
            how=f"CPU of the feed's process: until a job of its queue runs, and during "
            f"{WAIT_SECONDS:.0f} s in which one client waits for news.",
        ),
    ]


def _cpu_of_a_wait(feed: Feed, source: FeedQueue) -> float:
    """Return the feed's CPU seconds per second of a client's long poll."""
    while source.pause(1.0):  # the job's output and its copy arrive late
        source.refresh()
    before, began = feed.cpu(), time.perf_counter()
    source.pause(WAIT_SECONDS)
    return (feed.cpu() - before) / (time.perf_counter() - began)
