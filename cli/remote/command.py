"""Have an instance's own `spawn` do something with a queue of its: what it prints is ours."""

import sys
from collections.abc import Sequence

from spawn.cli.flags import Where
from spawn.cli.remote.run import run_spawn
from spawn.cli.remote.way import reach_of
from spawn.cli.sources.whereabouts import asked_queue
from spawn.core.errors import InvalidArgument
from spawn.core.ids import why_not_queue_id
from spawn.store.paths import Roots


def on_instance(instance_id: str, roots: Roots, where: Where, words: Sequence[str]) -> int:
    """Run `spawn queue <words>` there, as the user whose queues they are.

    Returns:
        Its exit code.

    Raises:
        InvalidArgument: What is to be its queue cannot be one.
        RemoteError: It cannot be asked, or has no `spawn` that understands this.
    """
    target = asked_queue(where) or "local"
    why = why_not_queue_id(target) if target != "local" else None
    if why is not None:
        raise InvalidArgument(f"'{target}' is not a queue id", why=why)
    name, *flags = words
    with reach_of(instance_id, roots, where).connect() as connection:
        return run_spawn(
            connection,
            ["queue", name, target, *flags],
            sys.stdout.buffer,
            sys.stderr.buffer,
        )
