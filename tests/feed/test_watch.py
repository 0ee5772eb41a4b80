"""A watch through a feed shows news at once, costs little, and survives feed restarts."""

import io
import json
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.support.configs import job as job_of
from tests.support.configs import queue as config
from tests.support.feeds import Feed, Laptop
from tests.support.logs import QUEUE_ID, running, started
from tests.support.queues import SECONDS, Queue, World, job, until
from tests.support.wait import call_with_timeout, wait_until

from spawn.cli.sources.feed import FeedQueue
from spawn.cli.support import outage_retry
from spawn.cli.support import watch as watching
from spawn.store.feed import connection
from spawn.store.feed.requests import MAX_WAIT
from spawn.store.log.write import LogWriter


class Watch:
    """`status --watch --json` in a thread, every 50 ms."""

    def __init__(self, laptop: Laptop) -> None:
        self._out = io.StringIO()
        self.failed: list[BaseException] = []
        self._laptop = laptop
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            with self._laptop.open() as source:
                watching.watch(source, 0.05, as_json=True)
        except BaseException as error:
            self.failed.append(error)

    @property
    def states(self) -> list[str]:
        """Return the status of job `a` in every report so far."""
        lines = self._out.getvalue().splitlines()
        return [json.loads(line)["job_details"][0]["status"] for line in lines]


@contextmanager
def _watch(laptop: Laptop, said: list[str]) -> Iterator[Watch]:
    watch = Watch(laptop)
    with patch.object(sys, "stdout", watch._out), patch.object(outage_retry, "say", said.append):
        watch.thread.start()
        try:
            yield watch
        finally:
            watch.thread.join(SECONDS)
    assert not watch.thread.is_alive()
    assert not watch.failed, watch.failed


def test_a_watch_continues_after_the_feed_restarts(world: World, tmp_path: Path) -> None:
    queue = world.queue(job("a", until("end"))).detach("--no-s3")
    queue.wait_executing("a")
    feeds = [Feed(world)]
    said: list[str] = []
    try:
        with _watch(Laptop(tmp_path / "laptop", lambda: feeds[-1].address()), said) as watch:
            queue.until(lambda: len(watch.states) >= 2, "two reports")
            feeds[0].stop(signal.SIGKILL)
            queue.until(lambda: bool(said), "the watch reports the failure")
            feeds.append(Feed(world))
            before = len(watch.states)
            queue.until(lambda: len(watch.states) >= before + 2, "two more")
            world.release("end")
    finally:
        feeds[-1].stop()
    assert watch.states[-1] == "completed"
    assert set(watch.states) == {"running", "completed"}
    assert re.match(r"the feed of i-\w+ does not answer: .*; retrying for up to 10m", said[0])
    assert said[-1].startswith("Connected again after")
    queue.wait_idle()


def test_a_watch_continues_from_a_dead_runner_to_the_next(world: World, laptop: Laptop) -> None:
    queue = world.queue(job("a", until("end"))).detach("--no-s3")
    queue.wait_executing("a")
    with _watch(laptop, []) as watch:
        queue.until(lambda: bool(watch.states), "a report")
        queue.kill_runner()
        world.release("end")
        queue.wait_over("a")
        assert queue.resume().code == 0
    assert watch.states[-1] == "completed"


def test_reports_of_a_growing_log_are_consistent(world: World, laptop: Laptop) -> None:
    jobs = [job(f"j{number}", "true") for number in range(120)]
    queue = world.queue(*jobs, max_parallel=2).detach("--no-s3")
    with laptop.open() as source:
        seen = 0
        while not source.seq or not source.state.ended:
            source.refresh()
            assert source.seq >= seen
            seen = source.seq
            report = source.report(datetime.now(UTC))
            assert report.counts["running"] == sum(each.status == "running" for each in report.jobs)
    queue.wait_idle()
    assert seen == len(queue.events())


@pytest.fixture
def waiting(world: World) -> Iterator[Queue]:
    """A queue whose job waits."""
    queue = world.queue(job("a", f"echo 'step 1 of 3'; {until('end')}")).detach("--no-s3")
    queue.wait_executing("a")
    queue.until(lambda: b"step" in queue.combined("a"), "output")
    yield queue
    world.release("end")
    queue.wait_idle()


@contextmanager
def _requests() -> Iterator[list[str]]:
    """Record the requests of clients in this process during the block."""
    asked: list[str] = []
    real = connection.FeedConnection.get

    def get(self: connection.FeedConnection, target: str, seconds: float) -> connection.Answer:
        asked.append(target)
        return real(self, target, seconds)

    with patch.object(connection.FeedConnection, "get", get):
        yield asked


def test_a_refresh_without_news_is_one_request_of_under_a_kilobyte(
    waiting: Queue, feed: Feed, laptop: Laptop
) -> None:
    rounds = 200
    with laptop.open() as source:
        source.refresh()
        source.refresh()
        before = source.traffic
        with _requests() as asked:
            for _ in range(rounds):
                source.refresh()
                source.report(datetime.now(UTC))
        assert len(asked) == rounds
        assert (source.traffic - before) / rounds < 1000


def test_a_waiting_client_sends_one_request_and_gets_news(
    waiting: Queue, feed: Feed, laptop: Laptop, world: World
) -> None:
    with laptop.open() as source:
        source.refresh()
        while source.pause(1.0):  # the progress and the replica's state change late
            source.refresh()
        with _requests() as asked:
            assert not source.pause(2.0)
        assert len(asked) == 1
        threading.Timer(0.3, world.release, ("end",)).start()

        def follow() -> None:
            while not source.state.ended:
                assert source.pause(MAX_WAIT)
                source.refresh()

        call_with_timeout(follow, seconds=MAX_WAIT - 5)  # before the end of a wait
        assert source.report(datetime.now(UTC)).status == "completed"


def test_news_received_while_waiting_is_not_requested_again(
    world: World, feed: Feed, laptop: Laptop
) -> None:
    paths = world.roots.queue(QUEUE_ID)
    paths.folder.mkdir(parents=True)
    log = running(config(job_of("a")))
    path = log.write(paths.events)
    with laptop.open() as source:
        source.refresh()
        log.job("a", started("a"), attempt=1)
        with closing(LogWriter(path)) as writer:
            writer.append(log.entries[-1:], expected_seq=log.seq)
        assert source.pause(25.0)
        before = source.traffic
        source.refresh()
        assert source.traffic == before
        assert source.seq == log.seq


def test_only_changed_jobs_are_transferred(world: World, feed: Feed, laptop: Laptop) -> None:
    done = [job(f"j{number}", "true") for number in range(30)]
    last = job(
        "a", f"{until('one')}; echo 'step 1 of 3'; {until('end')}", *(f"j{n}" for n in range(30))
    )
    queue = world.queue(*done, last, max_parallel=4).detach("--no-s3")
    queue.wait_executing("a")
    with laptop.open() as source:
        source.refresh()
        while source.pause(1.0):
            source.refresh()
        world.release("one")
        before = source.traffic
        wait_until(
            lambda: source.refresh() or _progress(source) == "step 1/3 (33%)", seconds=SECONDS
        )
        assert source._machine is not None
        assert set(source._machine.jobs) <= {"a"}
        report = source.report(datetime.now(UTC))
        assert all(each.log_file for each in report.jobs)
        assert source.traffic > before
    world.release("end")
    queue.wait_idle()


def _progress(source: FeedQueue) -> str:
    job = source.report(datetime.now(UTC)).jobs[-1]
    return job.progress.text if job.progress else ""


def test_no_database_stays_open_between_refreshes(
    waiting: Queue, feed: Feed, laptop: Laptop
) -> None:
    with laptop.open() as source:
        source.refresh()
    descriptors = Path(f"/proc/{feed.pid}/fd")
    left = [str(each.readlink()) for each in descriptors.iterdir()]
    assert not [each for each in left if "events.db" in each]
