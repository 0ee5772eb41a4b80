"""What a queue's log in S3 says of an instance: which host keys it has, and whose the queue is."""

from collections.abc import Sequence

from msgspec import Struct

from spawn.cli.flags import Where
from spawn.cli.sources.learned import host_keys
from spawn.cli.sources.open_replica import open_replica
from spawn.cli.sources.whereabouts import whereabouts
from spawn.store.paths import Roots


class Vouched(Struct, frozen=True):
    """What the log of an instance's queue says.

    `host_keys`: the instance's, the newest epoch's; None: it has not begun anything there.
    `owner`: the machine that began the queue last, by its instance id or its name; empty: none.
    """

    queue: str
    host_keys: Sequence[str] | None
    owner: str = ""


def vouched(instance_id: str, roots: Roots, where: Where) -> Vouched:
    """Read what the log of an instance's queue in S3 says of it.

    Raises:
        SpawnError: Nobody knows of its queue, or it cannot be read.
    """
    found = whereabouts(instance_id, roots, where)
    with open_replica(roots, found.queue, found.where, say=lambda _: None) as source:
        source.refresh()
        owner = source.state.owner
        named = "" if owner is None else owner.instance_id
        named = owner.hostname if owner is not None and named == "local" else named
        return Vouched(found.queue, host_keys(source.rows(), instance_id), named)
