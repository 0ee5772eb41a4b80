"""Wire a command together: the machine's folders, the queue that a target means, the reader's
clock."""

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from spawn.cli.sources.local import LocalQueue
from spawn.core.errors import InvalidArgument, QueueNotFound, SpawnError
from spawn.core.ids import (
    INSTANCE_RULE,
    is_instance_id,
    is_mistyped_instance_id,
    why_not_queue_id,
)
from spawn.store import queues
from spawn.store.paths import Roots, roots

if TYPE_CHECKING:
    from spawn.cli.flags import Where
    from spawn.cli.sources.queue import QueueSource
    from spawn.cli.sources.replica import ReplicaQueue


def machine() -> Roots:
    """This machine's folders."""
    return roots(os.environ)


def now() -> datetime:
    """The moment, in UTC."""
    return datetime.now(UTC)


def say(text: str) -> None:
    """Tell the person something beside the data; what it quotes may be foreign."""
    from spawn.cli.render.text import printable

    print(printable(text), file=sys.stderr, flush=True)


def find(target: str, *, where: "Where | None" = None) -> "QueueSource":
    """Find the queue that a target means, to read it: on this machine, else in S3; that of an
    instance over SSH.

    Args:
        target: `local`, an instance id, or a queue id.
        where: Which of its queues, where to look in S3, and whether to look there first.

    Raises:
        InvalidArgument: The target cannot be either.
        QueueNotFound: There is no such queue here, and nobody knows a bucket that it may be in.
    """
    if is_instance_id(target):
        return _of_instance(target, where)
    queue = where.queue if where is not None else None
    from_s3 = where is not None and where.from_s3
    queue_id = _queue_id(target, queue, known=not from_s3)
    if from_s3:
        return replica(queue_id, where)
    try:
        source = _local(queue_id, where)
    except QueueNotFound as error:
        _expect_no_instance(queue_id, where)
        try:
            return replica(queue_id, where, elsewhere=error)
        except InvalidArgument:
            raise only_here(error) from None
    if where is not None and where.typed and (where.bucket or where.prefix):
        say(f"Queue {queue_id} is on this machine; --from-s3 reads its log in S3 instead")
    return source


def find_local(target: str, *, queue: str | None = None) -> LocalQueue:
    """Find the queue of this machine that a target means, to do something with it.

    Raises:
        InvalidArgument: The target cannot be a queue, or means one of several that run.
        QueueNotFound: It is not here.
        SpawnError: The target is an instance.
    """
    queue_id = _queue_id(target, queue, change=True)
    try:
        return LocalQueue(machine(), queue_id)
    except QueueNotFound:
        _expect_no_instance(queue_id, None)
        raise


def no_instance(instance_id: str) -> InvalidArgument:
    """Say that something is no instance id, and that nothing else is called so."""
    return InvalidArgument(
        f"'{instance_id}' looks like an instance id, and is none",
        why=f"{INSTANCE_RULE}; nor is there a queue of that name",
        hint="`spawn list` shows the instances, `spawn queue list` the queues",
    )


def replica(
    queue_id: str, where: "Where | None" = None, *, elsewhere: QueueNotFound | None = None
) -> "ReplicaQueue":
    """A queue as S3 has it; nothing is asked yet.

    Args:
        elsewhere: Why it is not read on this machine, unless that was asked for.

    Raises:
        InvalidArgument: It cannot be a queue, or nobody knows the bucket.
    """
    from spawn.cli.flags import Where
    from spawn.cli.sources.open_replica import open_replica

    return open_replica(machine(), queue_id, where or Where(), say=say, elsewhere=elsewhere)


def only_here(error: QueueNotFound) -> QueueNotFound:
    """Say that a queue is not on this machine, and that nobody knows in which bucket to look."""
    error.hint += "; --bucket or --region says where in S3 to look"
    return error


def _of_instance(instance_id: str, where: "Where | None") -> "QueueSource":
    from spawn.cli.flags import Where
    from spawn.cli.sources.instance import InstanceQueue

    return InstanceQueue(instance_id, machine(), where or Where(), say=say)


def _expect_no_instance(queue_id: str, where: "Where | None") -> None:
    """Take what is not here for an instance id that was mistyped, where it looks like one and
    nobody knows of such a queue elsewhere."""
    from spawn.cli.sources.place import recall

    named = where is not None and where.typed and (where.bucket or where.prefix)
    if is_mistyped_instance_id(queue_id) and not named and recall(machine(), queue_id) is None:
        raise no_instance(queue_id) from None


def _local(queue_id: str, where: "Where | None") -> LocalQueue:
    here = machine()
    if where is None:
        return LocalQueue(here, queue_id)
    return LocalQueue(here, queue_id, region=where.region, profile=where.profile)


def _queue_id(target: str, queue: str | None, *, known: bool = True, change: bool = False) -> str:
    """The id of the queue that a target means.

    Args:
        known: Whether others that run on this machine are worth a word.
        change: Whether it is to be changed: then it is not for us to choose one of several.
    """
    if is_instance_id(target):
        raise SpawnError(
            f"{target} is an instance",
            why="this is done on the machine that has the queue",
            hint=f"`ssh {target}`, then the same with `local`",
        )
    if target == "local":
        queue = queue or os.environ.get("SPAWN_QUEUE")
        if queue:
            return _queue_id(queue, None)
        chosen, others = queues.local(machine())
        if others and change:
            raise InvalidArgument(
                f"{len(others) + 1} queues run on this machine: {', '.join([chosen, *others])}",
                why="only one of them can be meant",
                hint="--queue ID says which",
            )
        if others and known:
            print(f"Also running: {', '.join(others)} (--queue ID shows it)", file=sys.stderr)
        return chosen
    why = why_not_queue_id(target)
    if why is not None:
        raise InvalidArgument(f"'{target}' is not a queue id", why=why)
    if queue is not None and queue != target:
        raise InvalidArgument("--queue goes with `local`", why=f"{target} is a queue already")
    return target
