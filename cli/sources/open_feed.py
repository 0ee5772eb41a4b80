"""Open a queue that a feed serves: find the one that is meant, and what was read of it before."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from spawn.cli.sources.feed import FeedQueue
from spawn.core.errors import InvalidArgument, QueueNotFound
from spawn.core.ids import why_not_queue_id
from spawn.store.feed.client import FeedClient
from spawn.store.paths import Roots
from spawn.store.replica.cache import Cache


def open_feed(
    roots: Roots,
    client: FeedClient,
    *,
    queue: str | None = None,
    say: Callable[[str], None],
    region: str | None = None,
    profile: str | None = None,
) -> FeedQueue:
    """Open a queue of the machine that a client asks; the client is the queue's from then on.

    Args:
        queue: Picks one; None: the one that runs there, else its newest.
        say: Tells a person something: which others run there.

    Raises:
        InvalidArgument: `queue` cannot be one.
        QueueNotFound: No queue was ever run there.
        NoFeed, NotAFeed, OtherProtocol, Refused: See `FeedClient`.
    """
    try:
        queue = queue or _local(client, say)
        why = why_not_queue_id(queue)
        if why is not None:
            raise InvalidArgument(f"'{queue}' is not a queue id", why=why)
    except BaseException:
        client.close()
        raise
    cache = Cache(queue, cache_path(roots, queue, client.name))
    return FeedQueue(queue, client, cache, say=say, region=region, profile=profile)


def _local(client: FeedClient, say: Callable[[str], None]) -> str:
    hello = client.hello
    if not hello.local:
        raise QueueNotFound(
            f"no queue was ever run on {client.name}",
            why=f"{hello.root} has none for the user that its feed serves",
            hint="`spawn queue run FILE` runs one, there",
        )
    if hello.others:
        say(f"Also running: {', '.join(hello.others)} (--queue ID shows it)")
    return hello.local


def cache_path(roots: Roots, queue_id: str, name: str) -> Path:
    """Where what is read of a queue on a machine of this name is kept."""
    folder = sha256(name.encode()).hexdigest()[:24]
    return roots.cache / "feeds" / folder / f"{queue_id}.jsonl"
