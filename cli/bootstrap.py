"""Find the queue that a command's target means."""

import os
import sys
from typing import TYPE_CHECKING

from spawn.cli.host import local_roots, say
from spawn.cli.sources.local import LocalQueue
from spawn.core.errors import InvalidArgument, QueueNotFound, SpawnError
from spawn.core.values.ids import (
    is_instance_id,
    is_mistyped_instance_id,
    why_not_queue_id,
)
from spawn.store import queues

if TYPE_CHECKING:
    from spawn.cli.flags import LocationFlags
    from spawn.cli.sources.queue import QueueSource
    from spawn.cli.sources.replica import ReplicaQueue


def find_queue(target: str, *, where: "LocationFlags | None" = None) -> "QueueSource":
    """Find the queue of a target, for reading: on this machine, else in S3; an instance's over SSH.

    Args:
        target: `local`, an instance id, or a queue id.
        where: The location flags.

    Raises:
        InvalidArgument: The target is none of these.
        QueueNotFound: The queue is not on this machine, and its bucket is unknown.
    """
    if is_instance_id(target):
        return _instance_queue(target, where)
    queue = where.queue if where is not None else None
    from_s3 = where is not None and where.from_s3
    queue_id = _resolve_queue_id(target, queue, list_others=not from_s3)
    if from_s3:
        return open_replica(queue_id, where)
    try:
        source = _local_queue(queue_id, where)
    except QueueNotFound as error:
        _reject_mistyped_instance_id(queue_id, where)
        try:
            return open_replica(queue_id, where, elsewhere=error)
        except InvalidArgument:
            raise with_location_hint(error) from None
    if where is not None and where.place_typed and (where.bucket or where.prefix):
        say(f"Read queue {queue_id} from this machine; --from-s3 reads it from S3")
    return source


def find_local_queue(target: str, *, queue: str | None = None) -> LocalQueue:
    """Find the queue of a target on this machine, for changing it.

    Raises:
        InvalidArgument: The target is no queue id, or is `local` while several queues run.
        QueueNotFound: The queue is not on this machine.
        SpawnError: The target is an instance.
    """
    queue_id = _resolve_queue_id(target, queue, change=True)
    try:
        return LocalQueue(local_roots(), queue_id)
    except QueueNotFound:
        _reject_mistyped_instance_id(queue_id, None)
        raise


def open_replica(
    queue_id: str, where: "LocationFlags | None" = None, *, elsewhere: QueueNotFound | None = None
) -> "ReplicaQueue":
    """Open a queue in S3, without sending a request yet.

    Args:
        elsewhere: The error of this machine, if the queue was looked for here first.

    Raises:
        InvalidArgument: The queue id is invalid, or the bucket is unknown.
    """
    from spawn.cli.flags import LocationFlags
    from spawn.cli.sources.open_replica import open_replica

    return open_replica(
        local_roots(), queue_id, where or LocationFlags(), say=say, not_here=elsewhere
    )


def with_location_hint(error: QueueNotFound) -> QueueNotFound:
    """A copy of an error with a hint to the flags that make the command look in S3."""
    return error.with_hint("--bucket or --region says where in S3 to look")


def _instance_queue(instance_id: str, where: "LocationFlags | None") -> "QueueSource":
    from spawn.cli.flags import LocationFlags
    from spawn.cli.sources.instance import InstanceQueue

    return InstanceQueue(instance_id, local_roots(), where or LocationFlags(), say=say)


def _reject_mistyped_instance_id(queue_id: str, where: "LocationFlags | None") -> None:
    """Reject a queue id that looks like an instance id, unless its place in S3 is known.

    Raises:
        InvalidArgument: It looks like a mistyped instance id.
    """
    from spawn.cli.sources.instance_errors import no_instance
    from spawn.cli.sources.queue_location import load_place

    named = where is not None and where.place_typed and (where.bucket or where.prefix)
    if (
        is_mistyped_instance_id(queue_id)
        and not named
        and load_place(local_roots(), queue_id) is None
    ):
        raise no_instance(queue_id) from None


def _local_queue(queue_id: str, where: "LocationFlags | None") -> LocalQueue:
    here = local_roots()
    if where is None:
        return LocalQueue(here, queue_id)
    return LocalQueue(here, queue_id, region=where.region, profile=where.profile)


def _resolve_queue_id(
    target: str, queue: str | None, *, list_others: bool = True, change: bool = False
) -> str:
    """The id of the queue that a target means on this machine.

    Args:
        list_others: Whether to print the other queues that run on this machine.
        change: Whether the command changes the queue: then `local` must not be ambiguous.
    """
    if is_instance_id(target):
        raise SpawnError(
            f"{target} is an instance",
            why="this command works only on the machine that has the queue",
            hint=f"`ssh {target}`, then the same command with `local`",
        )
    if target == "local":
        queue = queue or os.environ.get("SPAWN_QUEUE")
        if queue:
            return _resolve_queue_id(queue, None)
        chosen, others = queues.choose_local(local_roots())
        if others and change:
            raise InvalidArgument(
                f"{len(others) + 1} queues run on this machine: {', '.join([chosen, *others])}",
                why="`local` must mean one of them",
                hint="--queue ID selects one",
            )
        if others and list_others:
            print(f"Also running: {', '.join(others)} (--queue ID shows it)", file=sys.stderr)
        return chosen
    why = why_not_queue_id(target)
    if why is not None:
        raise InvalidArgument(f"'{target}' is not a queue id", why=why)
    if queue is not None and queue != target:
        raise InvalidArgument("--queue requires `local`", why=f"{target} is already a queue id")
    return target
