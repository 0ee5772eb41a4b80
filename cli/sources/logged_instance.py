"""Read an instance's host keys and its queue's owner from the queue's log in S3."""

from collections.abc import Sequence

from msgspec import Struct

from spawn.cli.flags import LocationFlags
from spawn.cli.sources.instance_cache import host_keys_in_log
from spawn.cli.sources.instance_queue_location import locate_instance_queue
from spawn.cli.sources.open_replica import open_replica
from spawn.store.queue_dir.paths import Roots


class LoggedInstance(Struct, frozen=True):
    """What the log of an instance's queue says about the instance.

    `parse_host_keys`: from its newest epoch; None if the queue never started on the instance.
    `owner`: the instance id or host name of the machine that owns the queue; empty if none does.
    """

    queue: str
    host_keys: Sequence[str] | None
    owner: str = ""


def read_logged_instance(instance_id: str, roots: Roots, where: LocationFlags) -> LoggedInstance:
    """Read what the log of an instance's queue in S3 says about the instance.

    Raises:
        SpawnError: The queue or its place is not known, or the log cannot be read.
    """
    found = locate_instance_queue(instance_id, roots, where)
    with open_replica(roots, found.queue, found.where, say=lambda _: None) as source:
        source.refresh()
        owner = source.state.owner
        name = "" if owner is None else owner.instance_id
        name = owner.hostname if owner is not None and name == "local" else name
        return LoggedInstance(found.queue, host_keys_in_log(source.rows(), instance_id), name)
