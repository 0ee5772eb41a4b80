"""The queue of a launch: where it is, and that it may begin there or go on."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct, structs

from spawn.cli.flags import Where
from spawn.cli.launch.needing import needing
from spawn.cli.launch.order import Order
from spawn.cli.sources.open_replica import open_replica
from spawn.cli.sources.place import place_of
from spawn.core.boot import names
from spawn.core.config import canonical, rules
from spawn.core.config.model import QueueConfig
from spawn.core.config.parse import parse
from spawn.core.errors import (
    InvalidArgument,
    NothingToDo,
    QueueExists,
    QueueNotFound,
    SpawnError,
)
from spawn.core.ids import new_queue_id
from spawn.store.bucket import find_bucket
from spawn.store.ec2 import run
from spawn.store.ec2.session import Aws
from spawn.store.identity import hostname
from spawn.store.instances import state_of
from spawn.store.objects.port import Changed, NotThere, ObjectStore
from spawn.store.paths import Roots
from spawn.store.place import Place, open_place
from spawn.store.replica.lease import FORCE, Owned, Owner, look
from spawn.store.replica.names import QUEUE
from spawn.store.replica.reconcile import Found, allow
from spawn.store.replica.submitted import BOOT_LOG, parse_submitted, submitted

Say = Callable[[str], None]


class Queue(Struct, frozen=True, kw_only=True):
    """A queue that may be launched. `there`: its `queue.json` is; `bucket`: its bucket is; `owner`:
    the instance that it may leave."""

    queue_id: str
    place: Place
    config: QueueConfig
    data: bytes
    bucket: bool
    there: bool
    chosen: bool
    owner: str = ""


def fresh(aws: Aws, order: Order, roots: Roots, now: datetime, say: Say) -> Queue:
    """Find where a new queue will be, and see that its name is free. Nothing is made.

    A `queue.json` that nobody has claimed, and whose instances are gone, is what a launch has left
    that failed later: the same command takes it up.

    Raises:
        InvalidArgument: There is no such bucket, and none of that name can be made.
        QueueExists: The name was used, or an instance is about to begin it.
        StoreError: The bucket refuses us, or does not answer.
    """
    assert order.parsed is not None
    bucket = order.bucket or order.parsed.result_s3_bucket
    chosen = bucket is not None
    bucket = bucket or f"spawn-results-{aws.region}"
    for queue_id in [order.queue_id] if order.queue_id else _ids(now):
        prefix = (order.prefix or order.parsed.result_s3_prefix or queue_id).strip("/")
        place = Place(bucket=bucket, prefix=prefix, region=aws.region, profile=aws.profile)
        with needing("s3:ListBucket"):
            place, there = find_bucket(place, say, chosen=chosen)
        wrong = None if there or place.bucket is None else rules.bucket(place.bucket)
        if wrong is not None:
            raise InvalidArgument(
                f"the bucket {place.bucket} cannot be made", why=wrong[1], hint="--bucket NAME"
            )
        bucket, chosen = place.bucket, chosen or place.bucket != bucket
        try:
            used = there and _used(aws, open_place(place, roots.objects), queue_id, place)
        except QueueExists:
            if order.queue_id or order.prefix or order.parsed.result_s3_prefix:
                raise
            continue
        # Relative paths start from where the configuration lies there.
        config = parse(order.config, base_directory=names.folder(queue_id), name="the file")
        return Queue(
            queue_id=queue_id,
            place=place,
            config=structs.replace(config, queue_id=queue_id),
            data=order.config,
            bucket=there,
            there=used,
            chosen=chosen,
        )
    raise AssertionError("there is always another second")


def begun(aws: Aws, order: Order, roots: Roots, say: Say) -> Queue:
    """Find a queue that is to go on, and see that nobody is at work on it. Nothing is made.

    Raises:
        QueueNotFound: It is not there.
        Owned: Its owner may still be at work, or an instance is about to go on with it.
        NothingToDo: It has ended.
        StoreError: The bucket refuses us, or does not answer.
    """
    assert order.queue_id is not None
    queue_id = order.queue_id
    where = Where(
        from_s3=True,
        bucket=order.bucket,
        prefix=order.prefix,
        region=order.region or aws.region,
        profile=order.profile,
        typed=order.typed,
    )
    place = place_of(roots, queue_id, where).place
    if place.bucket is None:
        raise SpawnError(
            f"queue {queue_id} has no copy in S3",
            why="it was run on this machine alone",
            hint=f"`spawn queue resume {queue_id}` goes on with it here",
        )
    place = structs.replace(place, region=place.region or aws.region)
    store = open_place(place, roots.objects)
    with needing("s3:GetObject"):
        found = submitted(store)
    if found is None:
        raise QueueNotFound(
            f"queue {queue_id} is not at {place.location}",
            hint="--bucket and --prefix say where it is",
        )
    source = open_replica(roots, queue_id, where, say=lambda text: None)
    with source:
        source.refresh()
        state = source.state
        if not source.seq and _claimed_by(store) == "":
            _alone(queue_id, run.of_queue(aws, queue_id, place.location))
            raise SpawnError(
                f"queue {queue_id} has never begun",
                why="the instance that it was submitted for is gone, or was never started",
                hint="`spawn launch --batch-queue FILE` with its id begins it",
            )
        if state.state == "completed" or (state.state == "failed" and not order.retry_failed):
            raise NothingToDo(
                f"queue {queue_id} has {state.state}",
                why="an instance would have nothing to do",
                hint="--retry-failed tries its failed jobs again"
                if state.state == "failed"
                else f"`spawn queue results {queue_id}` fetches its results",
            )
        if not order.force:
            _unowned(queue_id, state, source.seq, store, aws)
    owner = state.owner.instance_id if state.owner else ""
    ready = Queue(
        queue_id=queue_id,
        place=place,
        config=found.config,
        data=msgspec.json.format(canonical.encode(found.config), indent=2),
        bucket=True,
        there=True,
        chosen=True,
        owner=owner,
    )
    expect_alone(aws, ready)
    return ready


def expect_alone(aws: Aws, queue: Queue) -> None:
    """See that no instance is about to begin a queue, or to go on with it.

    Raises:
        QueueExists: One is.
        StoreError: EC2 cannot be asked.
    """
    found = run.of_queue(aws, queue.queue_id, queue.place.location)
    _alone(queue.queue_id, [each for each in found if each != queue.owner])


def forget_boot(store: ObjectStore) -> None:
    """Empty what an earlier instance's bootstrap has left: it is not this one's."""
    try:
        found = store.read(BOOT_LOG)
        if found.data:
            store.replace(BOOT_LOG, b"", etag=found.etag)
    except (NotThere, Changed):
        return


def _claimed_by(store: ObjectStore) -> str:
    """Whose name is in a `queue.json` that can be read; empty for nobody's."""
    return parse_submitted(store.location, store.read(QUEUE).data)[1]


def _used(aws: Aws, store: ObjectStore, queue_id: str, place: Place) -> bool:
    """Whether there is a `queue.json` that can be taken up.

    Raises:
        QueueExists: There is one that cannot.
    """
    try:
        with needing("s3:GetObject"):
            fields = msgspec.json.decode(store.read(QUEUE).data)
    except NotThere:
        return False
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        fields = None
    found = fields.get("queue_id") if isinstance(fields, dict) else None
    if found != queue_id:
        raise QueueExists(
            f"the results of {f'queue {found}' if found else 'another queue'} are at "
            f"{place.location}",
            why="two queues cannot keep theirs in one place",
            hint="another result_s3_prefix or --prefix, or none, keeps them apart",
        )
    if fields.get("claimed_by") != "" or look(store) is not None:
        raise QueueExists(
            f"queue {queue_id} is at {place.location} already",
            why="an id is never used twice",
            hint=f"`spawn launch --resume {queue_id}` goes on with it on another instance; "
            "--queue-id NEW runs it anew",
        )
    _alone(queue_id, run.of_queue(aws, queue_id, place.location))
    return True


def _alone(queue_id: str, instances: list[str]) -> None:
    if instances:
        raise QueueExists(
            f"{instances[0]} was launched for queue {queue_id}, and has not begun it yet",
            hint=f"`spawn queue status {instances[0]}` says how far it is; "
            f"`spawn terminate {instances[0]}` ends it",
        )


def _unowned(queue_id: str, state: object, seq: int, store: ObjectStore, aws: Aws) -> None:
    me = Owner(place="launch", instance_id="local", hostname=hostname())
    try:
        allow(
            state,  # type: ignore[arg-type]
            Found(seq, b"", look(store)),
            me,
            fence=True,
            force=False,
            gone=lambda instance_id, region: state_of(
                instance_id, region or aws.region, aws.profile
            ),
        )
    except Owned as error:
        raise Owned(
            error.what,
            why=error.why,
            hint=f"`spawn queue status {queue_id}` shows it; stop its runner or terminate its "
            f"instance, or wait until it has been silent for a minute; {FORCE}",
        ) from None


def _ids(now: datetime) -> Iterator[str]:
    at = now.astimezone()
    while True:
        yield new_queue_id(at)
        at += timedelta(seconds=1)
