"""What is said of an instance that cannot be asked."""

import os

from spawn.cli.remote.errors import Boots, Gone, PortClosed
from spawn.cli.sources.vouched import Vouched
from spawn.cli.sources.whereabouts import NotTagged
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.core.feed.address import port
from spawn.core.ids import is_mistyped_instance_id


def said(instance_id: str, error: SpawnError) -> SpawnError:
    """The same in words that say what to do."""
    if not isinstance(error, PortClosed):
        return error
    return PortClosed(
        f"no feed runs on {instance_id}",
        why=f"nothing listens on its port {port(os.environ)}",
        hint="`spawn queue feed` serves its queues, there",
    )


def boots(instance_id: str, log: Vouched, error: SpawnError) -> Boots:
    """That its queue has not begun there, where nobody vouches for it or it lets nobody in."""
    what = f"{instance_id} boots"
    if log.owner:
        what = f"queue {log.queue} never began on {instance_id}, but on {log.owner}"
    return Boots(what, owner=log.owner, why=str(error), hint=error.hint)


def expect_instance(instance_id: str, error: SpawnError) -> None:
    """Take an id that nobody knows for one that was mistyped, where EC2 gives no such ids.

    Raises:
        InvalidArgument: It is none.
    """
    unknown = isinstance(error, NotTagged) or (
        isinstance(error, Gone) and error.state == "unknown" and not error.elsewhere
    )
    if unknown and is_mistyped_instance_id(instance_id):
        from spawn.cli.bootstrap import no_instance

        raise no_instance(instance_id) from None


def waits(instance_id: str) -> str:
    """That it has not answered so far, for who waits."""
    return f"{instance_id} has not answered yet; one that does not takes a while to be known"


def because(instance_id: str, error: SpawnError) -> str:
    """That it cannot be asked, and why."""
    said = str(error)
    if instance_id not in said:
        said = f"{instance_id} cannot be asked: {said}"
    return said[:1].upper() + said[1:] if not said.startswith(instance_id) else said


def aside(instance_id: str, error: SpawnError) -> str:
    """That it cannot be asked, why, and what a person may do about that; what is read instead
    follows."""
    passes = isinstance(error, Gone) or (isinstance(error, Boots) and not error.owner)
    return because(instance_id, error) + (f" ({error.hint})" if error.hint and not passes else "")


def neither(instance_id: str, error: SpawnError, other: SpawnError) -> SpawnError:
    """What to say where the instance does not answer, and nobody knows of a queue in S3."""
    if isinstance(error, Gone) and error.state not in ("unknown", "pending"):
        from spawn.cli.remote.lookup import start_hint  # boto3 costs 180 ms to import

        # Its status is what was asked for.
        error.hint = start_hint(instance_id) if error.state == "stopped" else ""
    if isinstance(other, NotTagged) and isinstance(error, PortClosed):
        return NotTagged(
            other.what,
            why=f"{error.what}, and {other.why}",
            hint=joined(error.hint, other.hint),
        )
    if isinstance(other, NotTagged):
        error.hint = joined(error.hint, other.hint)
        return error
    if str(other) == str(error):
        error.hint = joined(error.hint, "--queue ID and --bucket NAME read a queue's log in S3")
        return error
    if isinstance(other, InvalidArgument):
        error.hint = joined(error.hint, f"{other}: {other.hint}")
        return error
    error.why = joined(error.why, str(other))
    error.hint = joined(error.hint, other.hint)
    return error


def joined(*parts: str) -> str:
    """The parts that say something, in one line."""
    return "; ".join(filter(None, parts))
