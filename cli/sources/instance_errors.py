"""Errors and messages for an instance whose feed cannot be read."""

import os

from spawn.cli.sources.instance_queue_location import NoQueueKnown
from spawn.cli.sources.logged_instance import LoggedInstance
from spawn.cli.ssh.errors import InstanceNotRunning, PortClosed, StillBooting
from spawn.core.errors import InvalidArgument, SpawnError, joined
from spawn.core.values.ids import INSTANCE_RULE, is_mistyped_instance_id
from spawn.store.feed.requests import feed_port


def explain_port_closed(instance_id: str, error: SpawnError) -> SpawnError:
    """Replace a `PortClosed` error by one that names the feed; other errors stay."""
    if not isinstance(error, PortClosed):
        return error
    return PortClosed(
        f"no feed runs on {instance_id}",
        why=f"nothing listens on its port {feed_port(os.environ)}",
        hint="start `spawn queue feed` on the instance",
    )


def still_booting(instance_id: str, log: LoggedInstance, error: SpawnError) -> StillBooting:
    """Make the error for a failed login to an instance on which its queue has not started."""
    what = f"{instance_id} is still booting"
    if log.owner:
        what = f"queue {log.queue} was started on {log.owner}, never on {instance_id}"
    return StillBooting(what, owner=log.owner, why=str(error), hint=error.hint)


def expect_instance(instance_id: str, error: SpawnError) -> None:
    """Reject an unknown instance id that EC2 cannot have given.

    Args:
        error: The error from the lookup of the instance.

    Raises:
        InvalidArgument: The id is unknown and not of EC2's form.
    """
    unknown = isinstance(error, NoQueueKnown) or (
        isinstance(error, InstanceNotRunning) and error.state == "unknown" and not error.elsewhere
    )
    if unknown and is_mistyped_instance_id(instance_id):
        raise no_instance(instance_id) from None


def waiting_message(instance_id: str) -> str:
    """The progress message while an instance has not answered."""
    return f"{instance_id} has not answered yet; still waiting"


def query_failed(instance_id: str, error: SpawnError) -> str:
    """A sentence that names the instance and says why its feed cannot be read."""
    text = str(error)
    if instance_id not in text:
        text = f"{instance_id} cannot be queried: {text}"
    return text[:1].upper() + text[1:] if not text.startswith(instance_id) else text


def why_read_from_s3(instance_id: str, error: SpawnError) -> str:
    """A sentence that says why S3 is read, with a hint if the user can do something about it."""
    temporary = isinstance(error, StillBooting) and not error.owner
    hint = "" if temporary or isinstance(error, InstanceNotRunning) else error.hint
    return query_failed(instance_id, error) + (f" ({hint})" if hint else "")


def no_source(instance_id: str, error: SpawnError, other: SpawnError) -> SpawnError:
    """Make the error for a queue that neither the instance nor S3 provides.

    Args:
        error: Why the instance's feed cannot be read.
        other: Why the queue's place in S3 is not known.
    """
    if isinstance(error, InstanceNotRunning) and error.state not in ("unknown", "pending"):
        from spawn.cli.ssh.lookup import start_hint  # boto3 costs 180 ms to import

        # Drop the hint to run `spawn queue status`: the user may have just run it.
        hint = start_hint(instance_id) if error.state == "stopped" else ""
        error = error.with_only_hint(hint)
    if isinstance(other, NoQueueKnown) and isinstance(error, PortClosed):
        return NoQueueKnown(
            other.what,
            why=f"{error.what}, and {other.why}",
            hint=joined(error.hint, other.hint),
        )
    if isinstance(other, NoQueueKnown):
        return error.with_hint(other.hint)
    if (other.what, other.why) == (error.what, error.why):  # EC2 failed twice
        return error.with_hint("--queue ID and --bucket NAME read a queue's log in S3")
    if isinstance(other, InvalidArgument):
        return error.with_hint(f"{other}: {other.hint}")
    return error.with_why(str(other)).with_hint(other.hint)


def no_instance(instance_id: str) -> InvalidArgument:
    """The error for a target that looks like an instance id, and is neither that nor a queue."""
    return InvalidArgument(
        f"'{instance_id}' is not a valid instance id",
        why=f"{INSTANCE_RULE}; there is no queue of that name either",
        hint="`spawn list` lists instances, `spawn queue list` lists queues",
    )
