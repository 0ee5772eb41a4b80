"""Bring what was read of a feed before up to what it has now."""

from bisect import bisect_left
from collections.abc import Iterator

from msgspec import Struct

from spawn.core.errors import CorruptLog
from spawn.core.feed.address import AskPage
from spawn.core.feed.wire import Page
from spawn.core.replay import Row
from spawn.store.feed.client import FeedClient
from spawn.store.feed.errors import NoFeed
from spawn.store.replica import lines, restore
from spawn.store.replica.cache import Cache

ROUNDS = 100
"""How often a feed may say that it is still at work: some minutes."""

Answered = tuple[Page, list[bytes]]


class Caught(Struct, frozen=True):
    """The last page, and the first event that is another than what was read before; 0: none is."""

    page: Page
    differs: int = 0


def catch_up(
    client: FeedClient, cache: Cache, *, since: str = "", early: Answered | None = None
) -> Caught:
    """Fetch what a log has more than a cache, which is being updated. Without news that is one
    request.

    What is cached must be what is there, by the chain's hash; else all is read anew, once.

    Args:
        since: The version of what is known of the machine.
        early: An answer that came while nobody held the cache, to `after` what it had then.

    Raises:
        CorruptLog: What comes does not continue the chain.
        NoFeed: It cannot be read; what came until then is kept.
    """
    before = cache.seq
    try:
        return Caught(_fetch(client, cache, since, early))
    except _Differs:
        cache.cut(before)
    anew = cache.beside()
    try:
        page = _fetch(client, anew, "", None)
    except _Differs as error:
        anew.drop()
        raise CorruptLog(
            f"the log on {client.name} is not what it was a moment ago",
            seq=1,
            why="it does not have the events that it has sent" if not error.why else error.why,
        ) from None
    except BaseException:
        anew.drop()
        raise
    both = min(anew.seq, before)
    differs = bisect_left(
        range(1, both + 1), True, key=lambda seq: anew.hash_at(seq) != cache.hash_at(seq)
    )
    cache.become(anew)
    return Caught(page, differs + 1)


class _Differs(Exception):
    """What comes is not the continuation of what is here."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


def _fetch(client: FeedClient, cache: Cache, since: str, early: Answered | None) -> Page:
    """Read page after page.

    Raises:
        _Differs: The log is another one, as far as can be told.
        CorruptLog: It was read from its beginning, and its chain does not hold.
    """
    fresh = cache.seq == 0
    rounds = 0
    while True:
        ask = AskPage(queue_id=cache.queue_id, after=cache.seq, hash_=cache.hash.hex(), since=since)
        page, exported = early or client.page(ask)
        early = None
        if page.differs:
            raise _Differs
        after = cache.seq
        try:
            cache.extend(_rows(client.name, cache, exported))
            if cache.seq != page.seq:
                raise CorruptLog(
                    f"what {client.name} sent is not whole", seq=cache.seq + 1, why="events miss"
                )
        except CorruptLog as error:
            if fresh:
                error.hint = error.hint or f"this is the log on {client.name}"
                raise
            raise _Differs(str(error)) from None
        if not page.more:
            return page
        if cache.seq > after:
            rounds = 0
            continue
        rounds += 1  # it has not folded its log yet
        if rounds > ROUNDS:
            raise NoFeed(f"the feed of {client.name} does not get to the end of its log")


def _rows(name: str, cache: Cache, exported: list[bytes]) -> Iterator[Row]:
    seq, hash_ = cache.seq, cache.hash
    place = f"the feed of {name}"
    for line in exported:
        row = lines.parse(place, line, seq + 1)
        hash_ = restore.follow(place, row, seq, hash_)
        seq = row[0]
        yield row
