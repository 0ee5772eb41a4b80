"""Open a queue's log in an object store, with its cache."""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from spawn.cli.flags import LocationFlags
from spawn.cli.sources.queue_location import find_place, save_place
from spawn.cli.sources.replica import ReplicaQueue
from spawn.cli.ssh.last_contact import launched_on
from spawn.core.errors import QueueNotFound
from spawn.store.objects.location import StoreLocation, open_place
from spawn.store.queue_dir.paths import Roots
from spawn.store.replica.cache import Cache


def open_replica(
    roots: Roots,
    queue_id: str,
    where: LocationFlags,
    *,
    say: Callable[[str], None],
    not_here: QueueNotFound | None = None,
) -> ReplicaQueue:
    """Open a queue's log in S3. Sends no request yet.

    Args:
        say: Receives user-facing messages.
        elsewhere: The error from this machine, if S3 is only read because of it.

    Raises:
        InvalidArgument: The queue id is not valid, or the bucket is not known.
    """
    found = find_place(roots, queue_id, where)
    place = found.place

    def launched() -> tuple[str, str]:
        """The instance launched for the queue, and its state if that rules out a start."""
        instance_id = launched_on(roots, queue_id)
        if not instance_id:
            return "", ""
        from spawn.store.aws.ec2_instances import state_of  # boto3

        return instance_id, state_of(instance_id, where.region or place.region, place.profile)

    return ReplicaQueue(
        queue_id,
        open_place(place, roots.objects),
        Cache(queue_id, cache_path(roots, queue_id, place)),
        say=say,
        elsewhere=not_here.why if not_here is not None else "",
        guessed=found.guessed,
        found=lambda: save_place(roots, queue_id, place),
        launched=launched,
    )


def cache_path(roots: Roots, queue_id: str, place: StoreLocation) -> Path | None:
    """The cache file for a queue at a place; None for a folder of this machine.

    The name depends on the S3 endpoint: equal URLs on two servers are different places.
    """
    if place.bucket is None:
        return None
    server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    name = sha256(f"{server}\0{place.location}".encode()).hexdigest()[:24]
    return roots.cache / "replicas" / name / f"{queue_id}.jsonl"
