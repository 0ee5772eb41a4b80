"""Open a queue's log in an object store: find its place, and what was read of it before."""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from spawn.cli.flags import Where
from spawn.cli.remote.address import launched_on
from spawn.cli.sources.place import place_of, remember
from spawn.cli.sources.replica import ReplicaQueue
from spawn.core.errors import QueueNotFound
from spawn.store.paths import Roots
from spawn.store.place import Place, open_place
from spawn.store.replica.cache import Cache


def open_replica(
    roots: Roots,
    queue_id: str,
    where: Where,
    *,
    say: Callable[[str], None],
    elsewhere: QueueNotFound | None = None,
) -> ReplicaQueue:
    """Open a queue's log in S3; nothing is asked of it yet.

    Args:
        say: Tells a person something.
        elsewhere: Why it is not read on this machine, unless that was asked for.

    Raises:
        InvalidArgument: It cannot be a queue, or nobody knows the bucket.
    """
    found = place_of(roots, queue_id, where)
    place = found.place

    def launched() -> tuple[str, str]:
        """The instance that is to begin the queue, and its state where it will not."""
        instance_id = launched_on(roots, queue_id)
        if not instance_id:
            return "", ""
        from spawn.store.instances import state_of  # boto3

        return instance_id, state_of(instance_id, where.region or place.region, place.profile)

    return ReplicaQueue(
        queue_id,
        open_place(place, roots.objects),
        Cache(queue_id, cache_path(roots, queue_id, place)),
        say=say,
        elsewhere=elsewhere.why if elsewhere is not None else "",
        guessed=found.guessed,
        found=lambda: remember(roots, queue_id, place),
        launched=launched,
    )


def cache_path(roots: Roots, queue_id: str, place: Place) -> Path | None:
    """Where what is read of a place is kept; None for a folder of this machine, which is as near.

    Another server is another place: what is called alike there is not the same.
    """
    if place.bucket is None:
        return None
    server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    name = sha256(f"{server}\0{place.location}".encode()).hexdigest()[:24]
    return roots.cache / "replicas" / name / f"{queue_id}.jsonl"
