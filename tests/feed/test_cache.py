"""Only new events are transferred; the cache is verified by the chain and never trusted."""

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.configs import job
from tests.support.configs import queue as config
from tests.support.feeds import NAME, Feed, Laptop, feed_of
from tests.support.logs import (
    QUEUE_ID,
    SECOND,
    START,
    LogBuilder,
    owner,
    resumed,
    running,
    started,
    submission,
    synthetic,
    write_log,
)
from tests.support.queues import World

from spawn.cli.sources.feed import FeedQueue
from spawn.cli.sources.open_feed import cache_path
from spawn.core.domain.events import QueueInterrupted
from spawn.core.errors import CorruptLog, SpawnError
from spawn.runner.feed import server as feed_server
from spawn.runner.feed.answers import Answers
from spawn.runner.feed.bootstrap import listen
from spawn.runner.feed.server import Server
from spawn.store.feed.answers import Page
from spawn.store.feed.client import FeedClient
from spawn.store.feed.requests import PageRequest
from spawn.store.feed.update_cache import update_cache
from spawn.store.log.write import LogWriter
from spawn.store.replica.cache import Cache


def _log(*, stamps: int = 1, more: int = 0) -> LogBuilder:
    """Return a log of at least three events; other `stamps` give another log of the same queue."""
    log = LogBuilder(start=START + stamps * SECOND)
    log.add(*submission(config(job("a"))))
    log.queue(owner())
    log.job("a", started("a"), attempt=1)
    for _ in range(more):
        log.queue(resumed())
    return log


def _put(world: World, log: LogBuilder) -> Path:
    """Replace the existing log."""
    paths = world.roots.queue(QUEUE_ID)
    shutil.rmtree(paths.folder, ignore_errors=True)
    paths.folder.mkdir(parents=True)
    return log.write(paths.events)


def _refresh(laptop: Laptop) -> tuple[FeedQueue, int]:
    """Read a queue as a new command does; returns also the number of bytes transferred."""
    with laptop.open(QUEUE_ID) as source:
        source.refresh()
        return source, source.traffic


def test_only_events_after_the_cached_ones_are_transferred(world: World, laptop: Laptop) -> None:
    log = running(config(job("a")))
    path = _put(world, log)
    _, whole = _refresh(laptop)
    source, again = _refresh(laptop)
    assert (list(source.rows()), source.seq) == (log.rows, log.seq)
    assert again < whole - sum(len(line) for _, _, line, _ in log.rows)
    log.job("a", started("a"), attempt=1)
    with closing(LogWriter(path)) as writer:
        writer.append(log.entries[-1:], expected_seq=log.seq)
    source, third = _refresh(laptop)
    assert list(source.rows()) == log.rows
    assert third < again + len(log.rows[-1][2]) + 400


@pytest.mark.parametrize("kind", ["other", "shorter", "longer", "prefix"])
def test_a_replaced_log_is_read_again_with_a_message(
    world: World, laptop: Laptop, kind: str
) -> None:
    before = _log(more=3)
    after = {
        "other": _log(stamps=2, more=3),
        "shorter": _log(stamps=2),
        "longer": _log(stamps=2, more=9),
        "prefix": _log(more=1),
    }[kind]
    _put(world, before)
    _refresh(laptop)
    _put(world, after)
    source, _ = _refresh(laptop)
    assert list(source.rows()) == after.rows
    first = after.seq + 1 if kind == "prefix" else 1
    assert laptop.said == [
        f"Event {first} on {NAME} differs from the one that this machine has cached; "
        "the whole log was read again"
    ]
    laptop.said.clear()
    _refresh(laptop)
    assert laptop.said == []


def test_a_log_replaced_during_a_watch_is_read_again(world: World, laptop: Laptop) -> None:
    _put(world, _log(more=3))
    with laptop.open(QUEUE_ID) as source:
        source.refresh()
        other = _log(stamps=2, more=1)
        _put(world, other)
        source.refresh()
        assert list(source.rows()) == other.rows
        assert source.state.epoch == 2
        assert len(laptop.said) == 1


def test_a_damaged_cache_is_repaired(world: World, laptop: Laptop) -> None:
    log = _log(more=5)
    _put(world, log)
    _refresh(laptop)
    path = cache_path(laptop.roots, QUEUE_ID, NAME)
    data = path.read_bytes()
    for at in range(0, len(data), 97):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        source, _ = _refresh(laptop)
        assert list(source.rows()) == log.rows
        assert path.read_bytes() == data
    assert all("was damaged from event" in said for said in laptop.said)


def test_each_machine_has_its_own_cache(world: World, feed: Feed, laptop: Laptop) -> None:
    _put(world, _log())
    _refresh(laptop)
    other = cache_path(laptop.roots, QUEUE_ID, "i-00000000000000000")
    assert other != cache_path(laptop.roots, QUEUE_ID, NAME)
    assert not other.exists()


def _rewrite(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER events_are_never_updated")
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET line = replace(line, 'host', 'hist') WHERE seq = 2",
        "UPDATE events SET hash = zeroblob(32) WHERE seq = 2",
        "UPDATE events SET line = 'x' || char(10) || 'y' WHERE seq = 2",
        "UPDATE events SET line = 17 WHERE seq = 2",
    ],
)
@pytest.mark.parametrize("folded", [False, True])
def test_a_changed_log_is_corrupt_for_new_readers(
    world: World, feed: Feed, tmp_path: Path, statement: str, folded: bool
) -> None:
    """Whether or not the feed has already folded the log."""
    path = _put(world, _log(more=2))
    laptop = Laptop(tmp_path / "laptop", feed.address)
    if folded:
        _refresh(Laptop(tmp_path / "other", feed.address))
    _rewrite(path, statement)
    for _ in range(2):
        with laptop.open(QUEUE_ID) as source, pytest.raises(CorruptLog) as caught:
            source.refresh()
        assert caught.value.seq == 2
        assert NAME in caught.value.hint
    _put(world, _log(more=2))
    assert _refresh(laptop)[0].seq == 5


def test_an_illegal_log_is_corrupt(world: World, laptop: Laptop) -> None:
    log = _log()
    log.queue(QueueInterrupted(cause="signal", detail="SIGTERM"))
    log.job("a", started("a", 2), attempt=2)
    _put(world, log)
    with laptop.open(QUEUE_ID) as source, pytest.raises(SpawnError):
        source.refresh()


def test_lines_that_do_not_continue_the_chain_are_rejected(
    world: World, feed: Feed, tmp_path: Path
) -> None:
    """The log is read again once, then the error is raised."""
    _put(world, _log(more=3))
    client = Forger(feed.address, NAME)
    cache = Cache(QUEUE_ID, tmp_path / "cache" / "feeds" / "0" / "q.jsonl")
    with client, cache.updating():
        update_cache(client, cache)
        assert cache.seq == 6
        cache.truncate(4)
        client.forge = b"0" * 64
        with pytest.raises(CorruptLog):
            update_cache(client, cache)
        assert client.asked == [0, 4, 0]
        assert cache.seq == 4, "the cached events stay"
        client.forge = b""
        update_cache(client, cache)
        assert cache.seq == 6


class Forger(FeedClient):
    """Changes the hash of the last line of each page; `asked` has the events after which pages were
    requested."""

    def __init__(self, where: Callable[[], tuple[str, int]], name: str) -> None:
        super().__init__(where, name)
        self.forge = b""
        self.asked: list[int] = []

    def page(self, ask: PageRequest) -> tuple[Page, list[bytes]]:
        self.asked.append(ask.after)
        page, lines = super().page(ask)
        if self.forge and lines:
            lines[-1] = self.forge + lines[-1][64:]
        return page, lines


@pytest.mark.gate
def test_a_log_of_a_hundred_thousand_events_comes_in_pages(
    world: World, feed: Feed, laptop: Laptop
) -> None:
    paths = world.roots.queue(QUEUE_ID)
    paths.folder.mkdir(parents=True)
    write_log(paths.events, synthetic(100_000, jobs=200))
    source, received = _refresh(laptop)
    assert (source.seq, source.state.state) == (100_000, "completed")
    assert received > 30e6
    assert feed.memory() < 80e6
    source, again = _refresh(laptop)
    assert source.seq == 100_000
    assert again < 40_000
    with laptop.open(QUEUE_ID) as source:
        source.refresh()
        before = source.traffic
        source.refresh()
        assert source.traffic - before < 600


def test_a_feed_that_is_still_folding_its_log_is_queried_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client with a complete cache queries a feed that has just started."""
    paths = world.roots.queue(QUEUE_ID)
    paths.folder.mkdir(parents=True)
    write_log(paths.events, synthetic(30_000, jobs=20))
    with feed_of(world) as feed:
        _refresh(Laptop(tmp_path / "laptop", feed.address))
    monkeypatch.setattr(feed_server, "SOON_SECONDS", 0.0)
    listener = listen(0, world.roots)
    stop, ours = os.pipe()
    server = Server(listener, Answers(world.roots), frozenset({os.getuid()}), print)
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    try:
        source, received = _refresh(Laptop(tmp_path / "laptop", listener.getsockname))
    finally:
        os.close(ours)
        thread.join()
        os.close(stop)
        listener.close()
    assert (source.seq, source.state.state) == (30_000, "completed")
    assert received < 10_000
