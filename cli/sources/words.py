"""What is said of a queue that is read from S3: what was read, and what went wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from spawn.core.durations import text as duration
from spawn.core.errors import CorruptLog, QueueNotFound
from spawn.core.moments import moment
from spawn.core.report.model import Origin
from spawn.core.state import QueueState
from spawn.store.objects.port import StoreError


class Located(Protocol):
    """What can be asked, and says where it is."""

    @property
    def location(self) -> str:
        """As people write it."""
        ...


def summary(origin: Origin, state: QueueState, now: datetime) -> str:
    """Say what was read and how old it is, in a line."""

    def ago(then: datetime) -> str:
        return f"{duration((now - then).total_seconds())} ago"

    read = f"Read from {origin.location}: "
    if origin.last_at is None:
        if origin.boot_log:
            return f"{read}submitted {ago(moment(state.submitted_at))}; its instance failed to boot"
        return f"{read}submitted {ago(moment(state.submitted_at))}, and has not begun"
    events = f"{origin.events} event{'' if origin.events == 1 else 's'}"
    read += f"{events}, the last {ago(origin.last_at)}"
    if state.ended or origin.heard_at is None:
        return read
    if origin.handed_back:
        return f"{read}; its runner stopped {ago(origin.heard_at)}"
    return f"{read}; its runner was last heard of {ago(origin.heard_at)}"


def read_anew(queue_id: str, damaged: int, differs: int, place: str) -> Iterator[str]:
    """Say why what this machine had of a log did not do.

    Args:
        damaged: The first event that was damaged in the cache; 0 for none.
        differs: The first event that is another one at the place; 0 for none.
        place: With its preposition.
    """
    if damaged:
        yield (
            f"What was cached of queue {queue_id} was damaged from event {damaged} on; that was "
            "read anew"
        )
    if differs:
        yield (
            f"Event {differs} {place} is not what it was when this machine read it before; all was "
            "read anew"
        )


def not_found(queue_id: str, location: str, elsewhere: str, *, why: str = "") -> QueueNotFound:
    """Say that a queue is nowhere, and where that is.

    Args:
        elsewhere: Why it is not on this machine; empty when nobody looked there.
    """
    hint = "--bucket and --prefix say where it is"
    if not elsewhere:
        return QueueNotFound(f"queue {queue_id} is not at {location}", why=why, hint=hint)
    return QueueNotFound(
        f"queue {queue_id} is neither on this machine nor at {location}",
        why="; ".join(filter(None, (elsewhere, why))),
        hint=f"`spawn queue list` shows the queues that are here; {hint}",
    )


@contextmanager
def asking(store: Located, missing: str = "") -> Iterator[None]:
    """Give whatever goes wrong with a replica a hint of what to do, and where it is.

    Args:
        missing: That the queue is not on this machine, in words, where that is why it is asked.
    """
    try:
        yield
    except StoreError as error:
        error.hint = error.hint or (
            "try again later; --bucket, --region and AWS_ENDPOINT_URL say whom to ask"
        )
        if missing:
            error.what = f"{missing}, and {error.what}"
        raise
    except CorruptLog as error:
        where = f"this is the log at {store.location}"
        if where not in error.hint:
            error.hint = f"{error.hint}; {where}" if error.hint else where
        raise
