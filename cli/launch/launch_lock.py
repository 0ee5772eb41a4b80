"""A lock in S3: one launch of a queue at a time.

EC2 lists an instance seconds after its launch has checked for one, or a minute if the role is new.
A second launch in that time would start another instance. So each launch first writes its id into
an object, with a conditional request that only one writer wins.
"""

from contextlib import suppress

import msgspec
from msgspec import Struct

from spawn.core.errors import QueueExists
from spawn.core.values.durations import format_compact
from spawn.store.aws import run_instances
from spawn.store.aws.session import AwsSession
from spawn.store.objects.interface import (
    ETagMismatch,
    Object,
    ObjectExists,
    ObjectNotFound,
    ObjectStore,
)

KEY = "_spawn/launch.json"
EXPIRY_SECONDS = 600.0
"""When the lock of a launch expires, by S3's clock. A launch that fails releases it; one that was
killed cannot."""


class _Lock(Struct):
    """The content of the object: the launch that holds the lock; empty for none."""

    launch_id: str = ""


def acquire(aws: AwsSession, store: ObjectStore, queue_id: str, launch_id: str) -> None:
    """Take the lock for this launch.

    The caller must check EC2 again afterwards: another launch may have finished meanwhile.

    Args:
        store: Rooted at the queue's place.

    Raises:
        QueueExists: Another launch holds the lock.
        StoreError: The store or EC2 does not answer, or denies access.
    """
    mine = msgspec.json.encode(_Lock(launch_id))
    try:
        store.create(KEY, mine)
        return
    except ObjectExists:
        pass
    try:
        found = store.read(KEY)
        if _launch(found) == launch_id:
            return  # an earlier request of this launch succeeded, but its reply was lost
        if _is_held(aws, found):
            raise _in_progress_error(queue_id, EXPIRY_SECONDS - found.age)
        store.replace(KEY, mine, etag=found.etag)
    except (ObjectNotFound, ETagMismatch):
        raise _in_progress_error(queue_id, EXPIRY_SECONDS) from None


def release(store: ObjectStore, launch_id: str) -> None:
    """Release the lock of this launch. The object is emptied: deleting needs another permission.

    Raises:
        StoreError: The store does not answer, or denies access.
    """
    with suppress(ObjectNotFound, ETagMismatch):
        found = store.read(KEY)
        if _launch(found) == launch_id:
            store.replace(KEY, msgspec.json.encode(_Lock()), etag=found.etag)


def _is_held(aws: AwsSession, found: Object) -> bool:
    """Whether the lock's launch may still start an instance that EC2 does not list yet."""
    launch_id = _launch(found)
    return (
        bool(launch_id)
        and found.age <= EXPIRY_SECONDS
        and not run_instances.was_started(aws, launch_id)
    )


def _launch(found: Object) -> str:
    try:
        return msgspec.json.decode(found.data, type=_Lock).launch_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _in_progress_error(queue_id: str, seconds: float) -> QueueExists:
    return QueueExists(
        f"another launch of queue {queue_id} is in progress",
        why="it is about to start its instance, or was killed",
        hint="`spawn list` shows its instance once it has one; if none appears, run the same "
        f"command again in {format_compact(max(seconds, 1.0))}",
    )
