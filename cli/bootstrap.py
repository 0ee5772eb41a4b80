"""Wire a command together: the machine's folders, the queue that a target means, the reader's
clock."""

import os
import sys
from datetime import UTC, datetime

from spawn.cli.sources.local import LocalQueue
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.core.ids import is_instance_id, why_not_queue_id
from spawn.store import queues
from spawn.store.paths import Roots, roots


def machine() -> Roots:
    """This machine's folders."""
    return roots(os.environ)


def now() -> datetime:
    """The moment, in UTC."""
    return datetime.now(UTC)


def find(target: str, *, queue: str | None = None) -> LocalQueue:
    """Find the queue that a target means: `local`, or a queue id.

    Args:
        queue: Picks one of several queues of the target.

    Raises:
        InvalidArgument: The target cannot be either.
        QueueNotFound: There is no such queue.
        SpawnError: The target is an instance.
    """
    here = machine()
    if is_instance_id(target):
        raise SpawnError(
            f"instance {target} cannot be asked from here",
            why="this version of spawn reads the queues of the machine it runs on",
            hint="run `spawn queue status local` there",
        )
    if target == "local":
        queue = queue or os.environ.get("SPAWN_QUEUE")
        if queue:
            return find(queue)
        chosen, others = queues.local(here)
        if others:
            print(f"Also running: {', '.join(others)} (--queue ID shows it)", file=sys.stderr)
        return LocalQueue(here, chosen)
    why = why_not_queue_id(target)
    if why is not None:
        raise InvalidArgument(f"'{target}' is not a queue id", why=why)
    if queue is not None and queue != target:
        raise InvalidArgument("--queue goes with `local`", why=f"{target} is a queue already")
    return LocalQueue(here, target)
