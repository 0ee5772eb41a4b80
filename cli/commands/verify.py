"""`spawn queue verify`."""

from typing import TYPE_CHECKING

from spawn.cli.flags import QueueId, Where
from spawn.cli.located import located

if TYPE_CHECKING:
    from spawn.core.errors import QueueNotFound
    from spawn.store.log.verify import Verified


@located
def verify(
    queue_id: QueueId,
    *,
    where: Where,
) -> None:
    """Check that a queue's log is whole and legal.

    Nothing changed, nothing missing, every step allowed where it stands; of a log in S3 every
    object. A log on this machine must have what the queue's folder and its copy show to have been
    in it. Exit code 1 with the first event that is wrong. Names what was kept when somebody else
    took the queue over.
    """
    from spawn.cli import bootstrap
    from spawn.core.errors import InvalidArgument, QueueNotFound
    from spawn.core.ids import is_instance_id, why_not_queue_id

    if is_instance_id(queue_id):
        _instance(queue_id, where)
        return
    if where.from_s3:
        if queue_id == "local":
            queue_id = bootstrap.find_local(queue_id, queue=where.queue).queue_id
        _replica(queue_id, where)
        return
    try:
        source = bootstrap.find_local(queue_id, queue=where.queue)
    except QueueNotFound as error:
        if why_not_queue_id(queue_id) is None:
            _kept_aside(queue_id)
            try:
                _replica(queue_id, where, elsewhere=error)
                return
            except InvalidArgument:
                raise bootstrap.only_here(error) from None
        raise
    from spawn.cli.sources.local_copy import copy_of
    from spawn.store.log.verify import evidence
    from spawn.store.log.verify import verify as verify_

    log = source.paths.events
    copy = copy_of(bootstrap.machine(), source.queue_id, where)  # before the log is read
    _say(source.queue_id, verify_(log, source.queue_id, evidence(log, copy.heads)))
    if copy.note:
        print(f"Note: {copy.note}")
    _kept_aside(source.queue_id)


def _instance(instance_id: str, where: Where) -> None:
    """Check what an instance's feed serves, or its log in S3."""
    from collections import deque

    from spawn.cli import bootstrap
    from spawn.cli.account import expect_begun
    from spawn.cli.sources.whereabouts import whereabouts
    from spawn.store.log.verify import Verified

    if where.from_s3:
        found = whereabouts(instance_id, bootstrap.machine(), where)
        _replica(found.queue, found.where)
        return
    with bootstrap.find(instance_id, where=where) as source:
        source.refresh()
        expect_begun(source)
        ((*_, hash_),) = deque(source.rows(), maxlen=1)
        verified = Verified(events=source.seq, hash=hash_.hex(), state=source.state)
        _say(source.queue_id, verified)


def _replica(queue_id: str, where: Where, *, elsewhere: "QueueNotFound | None" = None) -> None:
    from spawn.cli import bootstrap
    from spawn.cli.render.lease import line

    audited, location = bootstrap.replica(queue_id, where, elsewhere=elsewhere).audit()
    _say(queue_id, audited.verified)
    print(f"Read from: {location} ({audited.segments} segments, {audited.packs} packs)")
    if not audited.as_submitted:
        print("Note: queue.json is not a configuration that the log ever had")
    if not audited.verified.state.ended:
        print(f"Lease: {line(audited.seen)}")


def _say(queue_id: str, verified: "Verified") -> None:
    print(f"{queue_id}: {verified.events} events, the chain holds, every step is legal")
    print(f"Status: {verified.state.state}")
    print(f"Head: {verified.hash}")


def _kept_aside(queue_id: str) -> None:
    """Name the folders that were kept of a queue, and whether their logs hold."""
    from spawn.cli import bootstrap
    from spawn.core.errors import CorruptLog, QueueNotFound
    from spawn.store import queues
    from spawn.store.log.verify import verify as verify_

    for kept in queues.aside(bootstrap.machine(), queue_id):
        try:
            said = f"{verify_(kept.events, queue_id).events} events, the chain holds"
        except QueueNotFound:
            said = "no events"
        except CorruptLog as error:
            said = f"its log does not hold: {error}"
        print(f"Kept aside: {kept.folder}, {kept.cause} in epoch {kept.epoch}: {said}")
