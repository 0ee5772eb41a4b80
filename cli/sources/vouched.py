"""Which host keys a queue's log in S3 vouches for."""

from collections.abc import Sequence

from spawn.cli.flags import Where
from spawn.cli.sources.learned import host_keys
from spawn.cli.sources.open_replica import open_replica
from spawn.cli.sources.whereabouts import whereabouts
from spawn.store.paths import Roots


def keys_of_log(instance_id: str, roots: Roots, where: Where) -> Sequence[str] | None:
    """The host keys of an instance that the log of its queue in S3 has, the newest epoch's; None:
    the instance has not begun anything there.

    Raises:
        SpawnError: Nobody knows of its queue, or it cannot be read.
    """
    found = whereabouts(instance_id, roots, where)
    with open_replica(roots, found.queue, found.where, say=lambda _: None) as source:
        source.refresh()
        return host_keys(source.rows(), instance_id)
