"""`spawn queue verify`."""

from typing import TYPE_CHECKING

from spawn.cli.flags import LocationFlags, QueueId
from spawn.cli.support.location_flags import with_location_flags

if TYPE_CHECKING:
    from spawn.core.errors import QueueNotFound
    from spawn.store.log.verify import Verified


@with_location_flags
def verify(
    queue_id: QueueId,
    *,
    where: LocationFlags,
) -> None:
    """Verify that the log of a queue is complete, unchanged and legal.

    Checks the hash chain and every state transition; in S3, every object of the log. A log on this
    machine is also checked against the queue's folder and its copy in S3. Reports the first bad
    event, with exit code 1, and the folders that were set aside when another runner took the queue
    over.

    Examples:
        spawn queue verify pipeline-20260127
        spawn queue verify i-0123456789abcdef0
        spawn queue verify pipeline-20260127 --from-s3
    """
    from spawn.cli import bootstrap, host
    from spawn.core.errors import InvalidArgument, QueueNotFound
    from spawn.core.values.ids import is_instance_id, why_not_queue_id

    if is_instance_id(queue_id):
        _verify_instance(queue_id, where)
        return
    if where.from_s3:
        if queue_id == "local":
            queue_id = bootstrap.find_local_queue(queue_id, queue=where.queue).queue_id
        _verify_replica(queue_id, where)
        return
    try:
        source = bootstrap.find_local_queue(queue_id, queue=where.queue)
    except QueueNotFound as error:
        if why_not_queue_id(queue_id) is None:
            _print_set_aside(queue_id)
            try:
                _verify_replica(queue_id, where, elsewhere=error)
                return
            except InvalidArgument:
                raise bootstrap.with_location_hint(error) from None
        raise
    from spawn.cli.sources.expected_heads import expected_heads
    from spawn.store.log.verify import gather_evidence
    from spawn.store.log.verify import verify as verify_

    log = source.paths.events
    copy = expected_heads(host.local_roots(), source.queue_id, where)  # before the log is read
    _print_verified(
        source.queue_id, verify_(log, source.queue_id, gather_evidence(log, copy.heads))
    )
    if copy.note:
        print(f"Note: {copy.note}")
    _print_set_aside(source.queue_id)


def _verify_instance(instance_id: str, where: LocationFlags) -> None:
    """Verify the log that an instance's feed serves, or with `--from-s3` its log in S3."""
    from collections import deque

    from spawn.cli import bootstrap, host
    from spawn.cli.sources.instance_queue_location import locate_instance_queue
    from spawn.cli.support.open_at import expect_events
    from spawn.store.log.verify import Verified

    if where.from_s3:
        found = locate_instance_queue(instance_id, host.local_roots(), where)
        _verify_replica(found.queue, found.where)
        return
    with bootstrap.find_queue(instance_id, where=where) as source:
        source.refresh()
        expect_events(source)
        ((*_, hash_),) = deque(source.rows(), maxlen=1)
        verified = Verified(events=source.seq, hash=hash_.hex(), state=source.state)
        _print_verified(source.queue_id, verified)


def _verify_replica(
    queue_id: str, where: LocationFlags, *, elsewhere: "QueueNotFound | None" = None
) -> None:
    from spawn.cli import bootstrap
    from spawn.cli.output.lease import lease_line

    audited, location = bootstrap.open_replica(queue_id, where, elsewhere=elsewhere).audit()
    _print_verified(queue_id, audited.verified)
    print(f"Read from: {location} ({audited.segments} segments, {audited.packs} packs)")
    if not audited.as_submitted:
        print("Note: queue.json does not match any configuration in the log")
    if not audited.verified.state.ended:
        print(f"Lease: {lease_line(audited.seen)}")


def _print_verified(queue_id: str, verified: "Verified") -> None:
    print(f"{queue_id}: {verified.events} events, hash chain intact, every transition legal")
    print(f"Status: {verified.state.state}")
    print(f"Head: {verified.hash}")


def _print_set_aside(queue_id: str) -> None:
    """Print the folders of a queue that were set aside, and whether their logs are intact."""
    from spawn.cli import host
    from spawn.core.errors import CorruptLog, QueueNotFound
    from spawn.store import queues
    from spawn.store.log.verify import verify as verify_

    for kept in queues.list_put_aside(host.local_roots(), queue_id):
        try:
            result = f"{verify_(kept.events, queue_id).events} events, hash chain intact"
        except QueueNotFound:
            result = "no events"
        except CorruptLog as error:
            result = f"its log is corrupt: {error}"
        print(f"Set aside: {kept.folder}, {kept.cause} in epoch {kept.epoch}: {result}")
