"""Open a queue that a feed serves, with its cache."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from spawn.cli.sources.feed import FeedQueue
from spawn.core.errors import InvalidArgument, QueueNotFound
from spawn.core.values.ids import why_not_queue_id
from spawn.store.feed.client import FeedClient
from spawn.store.queue_dir.paths import Roots
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
    """Open a queue of the machine that a client is connected to. The queue closes the client.

    Args:
        queue: A queue id; None: the running queue, else the newest one.
        say: Receives user-facing messages, such as which other queues run there.
        region: Region of the results' bucket (default: the one in the log).
        profile: AWS profile to read the results with.

    Raises:
        InvalidArgument: `queue` is not a valid queue id.
        QueueNotFound: No queue has run on that machine.
        NoFeed, NotAFeed, OtherProtocol, Refused: See `FeedClient`.
    """
    try:
        queue = queue or _default_queue(client, say)
        why = why_not_queue_id(queue)
        if why is not None:
            raise InvalidArgument(f"'{queue}' is not a queue id", why=why)
    except BaseException:
        client.close()
        raise
    cache = Cache(queue, cache_path(roots, queue, client.name))
    return FeedQueue(queue, client, cache, say=say, region=region, profile=profile)


def _default_queue(client: FeedClient, say: Callable[[str], None]) -> str:
    hello = client.hello
    if not hello.local:
        raise QueueNotFound(
            f"no queue was ever run on {client.name}",
            why=f"{hello.root} has none for the user that its feed serves",
            hint="`spawn queue run FILE` runs one there",
        )
    if hello.others:
        say(f"Also running: {', '.join(hello.others)} (--queue ID shows it)")
    return hello.local


def cache_path(roots: Roots, queue_id: str, name: str) -> Path:
    """The cache file for a queue on the machine with this name."""
    folder = sha256(name.encode()).hexdigest()[:24]
    return roots.cache / "feeds" / folder / f"{queue_id}.jsonl"
