"""Update the cache of a queue's log from a feed."""

from bisect import bisect_left
from collections.abc import Iterator

from msgspec import Struct

from spawn.core.domain.replay import Row
from spawn.core.errors import CorruptLog
from spawn.store.feed.answers import Page
from spawn.store.feed.client import FeedClient
from spawn.store.feed.errors import FeedUnavailable
from spawn.store.feed.requests import PageRequest
from spawn.store.replica import lines, read
from spawn.store.replica.cache import Cache

ROUNDS = 100
"""Maximum number of interim answers in a row; some minutes."""

Answered = tuple[Page, list[bytes]]


class FeedUpdate(Struct, frozen=True):
    """The last page, and the first event that differs from the previous cache; 0 for none."""

    page: Page
    differs: int = 0


def update_cache(
    client: FeedClient, cache: Cache, *, since: str = "", early: Answered | None = None
) -> FeedUpdate:
    """Fetch the new events into a cache that is held for update. Without news it takes one request.

    The cached events must match the feed's log by the chain hash; otherwise the whole log is read
    again, once.

    Args:
        since: `version` of the known machine state.
        early: An answer received before the cache was held, to a request after its end.

    Raises:
        CorruptLog: The events do not continue the chain.
        NoFeed: The feed cannot be read; the events received so far are kept.
    """
    before = cache.seq
    try:
        return FeedUpdate(_fetch(client, cache, since, early))
    except _Differs:
        cache.truncate(before)
    new = cache.new_replacement()
    try:
        page = _fetch(client, new, "", None)
    except _Differs as error:
        new.delete_file()
        raise CorruptLog(
            f"the log on {client.name} changed while it was read",
            seq=1,
            why=error.why or "it no longer has the events that it sent",
        ) from None
    except BaseException:
        new.delete_file()
        raise
    both = min(new.seq, before)
    differs = bisect_left(
        range(1, both + 1), True, key=lambda seq: new.hash_at(seq) != cache.hash_at(seq)
    )
    cache.replace_with(new)
    return FeedUpdate(page, differs + 1)


class _Differs(Exception):
    """The feed's log does not continue the cache."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


def _fetch(client: FeedClient, cache: Cache, since: str, early: Answered | None) -> Page:
    """Read all pages.

    Raises:
        _Differs: The log does not continue the cache.
        CorruptLog: The log, read from its beginning, has a broken chain.
    """
    fresh = cache.seq == 0
    rounds = 0
    while True:
        ask = PageRequest(
            queue_id=cache.queue_id, after=cache.seq, hash_=cache.hash.hex(), since=since
        )
        page, exported = early or client.page(ask)
        early = None
        if page.differs:
            raise _Differs
        after = cache.seq
        try:
            cache.extend(_rows(client.name, cache, exported))
            if cache.seq != page.seq:
                raise CorruptLog(
                    f"the answer of {client.name} is incomplete",
                    seq=cache.seq + 1,
                    why="events are missing",
                )
        except CorruptLog as error:
            if fresh:
                raise error.with_default_hint(f"this is the log on {client.name}") from error
            raise _Differs(str(error)) from None
        if not page.more:
            return page
        if cache.seq > after:
            rounds = 0
            continue
        rounds += 1  # the feed is still folding its log
        if rounds > ROUNDS:
            raise FeedUnavailable(f"the feed of {client.name} does not finish reading its log")


def _rows(name: str, cache: Cache, exported: list[bytes]) -> Iterator[Row]:
    seq, hash_ = cache.seq, cache.hash
    place = f"the feed of {name}"
    for line in exported:
        row = lines.parse(place, line, seq + 1)
        hash_ = read.follow(place, row, seq, hash_)
        seq = row[0]
        yield row
