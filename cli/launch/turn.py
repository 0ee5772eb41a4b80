"""Launches of one queue take turns.

Between a launch's look at EC2 and the moment at which EC2 shows its instance lie seconds, and a
minute where a role is new: a second launch in that time would see a queue that nobody is about to
begin, and start an instance too. So who is about to start one says so first, in an object of which
S3 lets one writer at a time have a new version.
"""

from contextlib import suppress

import msgspec
from msgspec import Struct

from spawn.core.durations import compact
from spawn.core.errors import QueueExists
from spawn.store.ec2 import run
from spawn.store.ec2.session import Aws
from spawn.store.objects.port import Changed, Exists, NotThere, Object, ObjectStore

KEY = "_spawn/launch.json"
SECONDS = 600.0
"""How long a launch may take until EC2 shows its instance, by S3's clock. One that fails gives its
turn back; one that was killed cannot."""


class _Turn(Struct):
    """Whose turn it is; empty: nobody's."""

    launch_id: str = ""


def take(aws: Aws, store: ObjectStore, queue_id: str, launch_id: str) -> None:
    """Say that this launch is about to start an instance for a queue.

    Whoever looked at EC2 before looks once more now: another launch may have been done meanwhile.

    Args:
        store: Rooted at the queue's place.

    Raises:
        QueueExists: Another launch is about to, or was while we looked.
        StoreError: The store or EC2 does not answer, or refuses us.
    """
    mine = msgspec.json.encode(_Turn(launch_id))
    try:
        store.create(KEY, mine)
        return
    except Exists:
        pass
    try:
        found = store.read(KEY)
        if _launch(found) == launch_id:
            return  # an earlier try of ours, whose reply was lost
        if _holds(aws, found):
            raise _under_way(queue_id, SECONDS - found.age)
        store.replace(KEY, mine, etag=found.etag)
    except (NotThere, Changed):
        raise _under_way(queue_id, SECONDS) from None


def give_back(store: ObjectStore, launch_id: str) -> None:
    """Say that this launch starts nothing after all. Nothing is deleted: not everybody may.

    Raises:
        StoreError: The store does not answer, or refuses us.
    """
    with suppress(NotThere, Changed):
        found = store.read(KEY)
        if _launch(found) == launch_id:
            store.replace(KEY, msgspec.json.encode(_Turn()), etag=found.etag)


def _holds(aws: Aws, found: Object) -> bool:
    """Whether the launch whose turn it is may yet start an instance that EC2 does not show."""
    launch_id = _launch(found)
    return bool(launch_id) and found.age <= SECONDS and not run.was_started(aws, launch_id)


def _launch(found: Object) -> str:
    try:
        return msgspec.json.decode(found.data, type=_Turn).launch_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _under_way(queue_id: str, seconds: float) -> QueueExists:
    return QueueExists(
        f"another launch of queue {queue_id} is under way",
        why="it is about to start its instance, or was killed before it could",
        hint="`spawn list` shows its instance when it has one; where none appears, type the same "
        f"again in {compact(max(seconds, 1.0))}",
    )
