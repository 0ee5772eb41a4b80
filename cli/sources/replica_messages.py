"""Messages and errors for a queue that is read from S3."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from spawn.core.domain.state import QueueState
from spawn.core.errors import CorruptLog, QueueNotFound
from spawn.core.reports.model import ReplicaSource
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.timestamps import parse_timestamp
from spawn.store.objects.interface import StoreError


class Located(Protocol):
    """An object with a URL to show."""

    @property
    def location(self) -> str:
        """The URL, such as `s3://BUCKET/PREFIX/`."""
        ...


def read_summary(origin: ReplicaSource, state: QueueState, now: datetime) -> str:
    """One line about what was read and how old it is."""

    def ago(then: datetime) -> str:
        return f"{duration((now - then).total_seconds())} ago"

    read = f"Read from {origin.location}: "
    if origin.last_at is None:
        submitted = ago(parse_timestamp(state.submitted_at))
        if origin.boot_log:
            return f"{read}submitted {submitted}; its instance failed to boot"
        return f"{read}submitted {submitted}, not started yet"
    events = f"{origin.events} event{'' if origin.events == 1 else 's'}"
    read += f"{events}, the last {ago(origin.last_at)}"
    if state.ended or origin.lease_renewed_at is None:
        return read
    if origin.handed_back:
        return f"{read}; its runner stopped {ago(origin.lease_renewed_at)}"
    return f"{read}; its runner was last heard from {ago(origin.lease_renewed_at)}"


def reread_messages(queue_id: str, damaged: int, differs: int, place: str) -> Iterator[str]:
    """Messages that say why cached events were read again.

    Args:
        damaged: The first damaged event in the cache; 0 for none.
        differs: The first event that differs from the cached one; 0 for none.
        place: Where the log was read, with a preposition.
    """
    if damaged:
        yield (
            f"The cache of queue {queue_id} was damaged from event {damaged} on; these events were "
            "read again"
        )
    if differs:
        yield (
            f"Event {differs} {place} differs from the one that this machine has cached; the whole "
            "log was read again"
        )


def not_found(queue_id: str, location: str, elsewhere: str, *, why: str = "") -> QueueNotFound:
    """Make the error for a queue that is not in S3.

    Args:
        elsewhere: Why it is not on this machine; empty if that was not checked.
    """
    hint = "set --bucket and --prefix to its place"
    if not elsewhere:
        return QueueNotFound(f"queue {queue_id} is not at {location}", why=why, hint=hint)
    return QueueNotFound(
        f"queue {queue_id} is neither on this machine nor at {location}",
        why="; ".join(filter(None, (elsewhere, why))),
        hint=f"`spawn queue list` shows the queues of this machine; {hint}",
    )


@contextmanager
def add_error_hints(store: Located, missing: str = "") -> Iterator[None]:
    """Add a hint and the location to errors of a replica.

    Args:
        missing: A clause saying that the queue is not on this machine, if S3 is read for that
            reason; it is put in front of a `StoreError`.
    """
    try:
        yield
    except StoreError as error:
        what = f"{missing}, and {error.what}" if missing else error.what
        hint = "try again later, or check --bucket, --region and AWS_ENDPOINT_URL"
        raise error.with_what(what).with_default_hint(hint) from error
    except CorruptLog as error:
        raise error.with_hint(f"this is the log at {store.location}") from error
