"""A queue that was submitted but has not started: what the store has of it."""

import msgspec
from msgspec import Struct

from spawn.core.config import canonical
from spawn.core.config.model import QueueConfig
from spawn.core.domain.codec import valid_utf8
from spawn.core.errors import CorruptLog
from spawn.store.objects.interface import ObjectNotFound, SmallObjects
from spawn.store.replica.names import QUEUE

BOOT_LOG = "_spawn/boot.log"
"""Output of an instance's bootstrap that failed."""


class Submitted(Struct, frozen=True):
    """The submitted configuration; `age` is the seconds since then, by the store's clock."""

    config: QueueConfig
    age: float


def read_submitted(store: SmallObjects) -> Submitted | None:
    """Read `queue.json`; None if there is none.

    Raises:
        CorruptLog: It is invalid.
    """
    try:
        found = store.read(QUEUE)
    except ObjectNotFound:
        return None
    return Submitted(parse_submitted(store.location, found.data)[0], found.age)


def parse_submitted(location: str, data: bytes) -> tuple[QueueConfig, str]:
    """Decode `queue.json` into the configuration and the claimant, empty if unclaimed.

    Args:
        location: The store's location, for messages.

    Raises:
        CorruptLog: It is invalid.
    """
    try:
        fields = msgspec.json.decode(data)
        by = fields.pop("claimed_by", "")
        return canonical.decode_config(msgspec.json.encode(fields)), str(by)
    except (msgspec.DecodeError, UnicodeError, RecursionError, AttributeError, TypeError) as error:
        raise CorruptLog(f"{location}{QUEUE} cannot be read", why=str(error)) from None


def read_boot_log(store: SmallObjects, lines: int) -> tuple[str, ...]:
    """The last lines of a failed bootstrap's output, oldest first; empty if none has failed."""
    try:
        data = store.read(BOOT_LOG).data
    except ObjectNotFound:
        return ()
    text = valid_utf8(data[-64 * 1024 :]).replace("\r", "\n")
    return tuple([line for line in text.split("\n") if line.strip()][-lines:])
