"""The queue of a launch: find its place in S3, and check that it can start or resume there."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct, structs

from spawn.cli.flags import LocationFlags
from spawn.cli.launch.request import LaunchRequest, requires_permissions
from spawn.cli.sources.open_replica import open_replica
from spawn.cli.sources.queue_location import find_place
from spawn.core.config import canonical, string_rules
from spawn.core.config.model import QueueConfig
from spawn.core.config.parser import parse_config
from spawn.core.errors import (
    InvalidArgument,
    NothingToDo,
    QueueExists,
    QueueNotFound,
    SpawnError,
)
from spawn.core.values.ids import new_queue_id
from spawn.store.aws import run_instances
from spawn.store.aws.boot import locations
from spawn.store.aws.bucket import find_bucket
from spawn.store.aws.ec2_instances import state_of
from spawn.store.aws.session import AwsSession
from spawn.store.identity import hostname
from spawn.store.objects.interface import ETagMismatch, ObjectNotFound, ObjectStore
from spawn.store.objects.location import StoreLocation, open_place
from spawn.store.queue_dir.paths import Roots
from spawn.store.replica.lease import FORCE, OwnedElsewhere, Owner, read_lease
from spawn.store.replica.names import QUEUE
from spawn.store.replica.reconcile import StoreHead, check_takeover
from spawn.store.replica.submitted import BOOT_LOG, parse_submitted, read_submitted

Say = Callable[[str], None]


class LaunchQueue(Struct, frozen=True, kw_only=True):
    """A queue that can be launched.

    `data` is its configuration as JSON. `bucket` and `there` are whether its bucket and its
    `queue.json` exist, `chosen` is whether the bucket's name was given or found, and `owner` is the
    instance id of its previous owner.
    """

    queue_id: str
    place: StoreLocation
    config: QueueConfig
    data: bytes
    bucket_exists: bool
    submitted: bool
    chosen: bool
    owner: str = ""


def find_new(
    aws: AwsSession, request: LaunchRequest, roots: Roots, now: datetime, say: Say
) -> LaunchQueue:
    """Find the place of a new queue, and check that its id is free. Creates nothing.

    An unclaimed `queue.json` without an instance comes from a launch that failed later; it is used
    again.

    Raises:
        InvalidArgument: The bucket does not exist, and its name is invalid.
        QueueExists: The id was used, or an instance is about to start the queue.
        StoreError: The bucket denies access, or does not answer.
    """
    assert request.parsed is not None
    bucket = request.bucket or request.parsed.result_s3_bucket
    chosen = bucket is not None
    bucket = bucket or f"spawn-results-{aws.region}"
    for queue_id in [request.queue_id] if request.queue_id else _generated_ids(now):
        prefix = (request.prefix or request.parsed.result_s3_prefix or queue_id).strip("/")
        place = StoreLocation(bucket=bucket, prefix=prefix, region=aws.region, profile=aws.profile)
        with requires_permissions("s3:ListBucket"):
            place, there = find_bucket(place, say, chosen=chosen)
        wrong = (
            None if there or place.bucket is None else string_rules.check_bucket_name(place.bucket)
        )
        if wrong is not None:
            raise InvalidArgument(
                f"bucket {place.bucket} cannot be created",
                why=wrong[1],
                hint="choose another with --bucket",
            )
        bucket, chosen = place.bucket, chosen or place.bucket != bucket
        try:
            used = there and _is_unclaimed(aws, open_place(place, roots.objects), queue_id, place)
        except QueueExists:
            if request.queue_id or request.prefix or request.parsed.result_s3_prefix:
                raise
            continue
        # On the instance, relative paths start from the folder of the configuration.
        config = parse_config(
            request.config, base_directory=locations.work_folder(queue_id), name="the file"
        )
        return LaunchQueue(
            queue_id=queue_id,
            place=place,
            config=structs.replace(config, queue_id=queue_id),
            data=request.config,
            bucket_exists=there,
            submitted=used,
            chosen=chosen,
        )
    raise AssertionError("_generated_ids is endless")


def find_resumable(aws: AwsSession, request: LaunchRequest, roots: Roots, say: Say) -> LaunchQueue:
    """Find a queue to resume, and check that no runner owns it. Creates nothing.

    Raises:
        QueueNotFound: The queue is not at its place.
        QueueExists: An instance is about to resume the queue.
        Owned: The owner may still be alive.
        NothingToDo: The queue has ended.
        StoreError: The bucket denies access, or does not answer.
    """
    assert request.queue_id is not None
    queue_id = request.queue_id
    where = LocationFlags(
        from_s3=True,
        bucket=request.bucket,
        prefix=request.prefix,
        region=request.region or aws.region,
        profile=request.profile,
        place_typed=request.typed,
    )
    place = find_place(roots, queue_id, where).place
    if place.bucket is None:
        raise SpawnError(
            f"queue {queue_id} has no copy in S3",
            why="it was run without S3",
            hint=f"`spawn queue resume {queue_id}` resumes it on this machine",
        )
    place = structs.replace(place, region=place.region or aws.region)
    store = open_place(place, roots.objects)
    with requires_permissions("s3:GetObject"):
        found = read_submitted(store)
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
            _reject_launched(
                queue_id, run_instances.find_queue_instances(aws, queue_id, place.location)
            )
            raise SpawnError(
                f"queue {queue_id} has never started",
                why="the instance that it was submitted for is gone, or was never started",
                hint="`spawn launch --batch-queue FILE` with its id starts it",
            )
        if state.state == "completed" or (state.state == "failed" and not request.retry_failed):
            raise NothingToDo(
                f"queue {queue_id} has {state.state}",
                why="an instance would have nothing to do",
                hint="--retry-failed retries its failed jobs"
                if state.state == "failed"
                else f"`spawn queue results {queue_id}` downloads its results",
            )
        if not request.force:
            _expect_unowned(queue_id, state, source.seq, store, aws)
    owner = state.owner.instance_id if state.owner else ""
    resumed = LaunchQueue(
        queue_id=queue_id,
        place=place,
        config=found.config,
        data=msgspec.json.format(canonical.encode_config(found.config), indent=2),
        bucket_exists=True,
        submitted=True,
        chosen=True,
        owner=owner,
    )
    expect_no_instance(aws, resumed)
    return resumed


def expect_no_instance(aws: AwsSession, queue: LaunchQueue) -> None:
    """Check that no instance is about to start or resume a queue.

    Raises:
        QueueExists: An instance was launched for it.
        StoreError: EC2 denies access, or does not answer.
    """
    found = run_instances.find_queue_instances(aws, queue.queue_id, queue.place.location)
    _reject_launched(queue.queue_id, [each for each in found if each != queue.owner])


def clear_boot_log(store: ObjectStore) -> None:
    """Empty the boot log of an earlier instance."""
    try:
        found = store.read(BOOT_LOG)
        if found.data:
            store.replace(BOOT_LOG, b"", etag=found.etag)
    except (ObjectNotFound, ETagMismatch):
        return


def _claimed_by(store: ObjectStore) -> str:
    """The owner named in a readable `queue.json`; empty if unclaimed."""
    return parse_submitted(store.location, store.read(QUEUE).data)[1]


def _is_unclaimed(aws: AwsSession, store: ObjectStore, queue_id: str, place: StoreLocation) -> bool:
    """Whether there is an unclaimed `queue.json` of this queue.

    Raises:
        QueueExists: The `queue.json` is claimed, or belongs to another queue.
    """
    try:
        with requires_permissions("s3:GetObject"):
            fields = msgspec.json.decode(store.read(QUEUE).data)
    except ObjectNotFound:
        return False
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        fields = None
    found = fields.get("queue_id") if isinstance(fields, dict) else None
    if found != queue_id:
        raise QueueExists(
            f"the results of {f'queue {found}' if found else 'another queue'} are at "
            f"{place.location}",
            why="two queues cannot share a place",
            hint="use another result_s3_prefix or --prefix, or none",
        )
    if fields.get("claimed_by") != "" or read_lease(store) is not None:
        raise QueueExists(
            f"queue {queue_id} already exists at {place.location}",
            why="a queue id can be used only once",
            hint=f"`spawn launch --resume {queue_id}` resumes it on another instance; "
            "--queue-id NEW runs it as a new queue",
        )
    _reject_launched(queue_id, run_instances.find_queue_instances(aws, queue_id, place.location))
    return True


def _reject_launched(queue_id: str, instances: list[str]) -> None:
    if instances:
        raise QueueExists(
            f"{instances[0]} was launched for queue {queue_id} and has not started it yet",
            hint=f"`spawn queue status {instances[0]}` shows its progress; "
            f"`spawn terminate {instances[0]}` terminates it",
        )


def _expect_unowned(
    queue_id: str, state: object, seq: int, store: ObjectStore, aws: AwsSession
) -> None:
    me = Owner(place="launch", instance_id="local", hostname=hostname())
    try:
        check_takeover(
            state,  # type: ignore[arg-type]
            StoreHead(seq, b"", read_lease(store)),
            me,
            fence=True,
            force=False,
            gone=lambda instance_id, region: state_of(
                instance_id, region or aws.region, aws.profile
            ),
        )
    except OwnedElsewhere as error:
        raise OwnedElsewhere(
            error.what,
            why=error.why,
            hint=f"`spawn queue status {queue_id}` shows it; stop its runner, terminate its "
            f"instance, or wait until it has been silent for a minute; {FORCE}",
        ) from None


def _generated_ids(now: datetime) -> Iterator[str]:
    at = now.astimezone()
    while True:
        yield new_queue_id(at)
        at += timedelta(seconds=1)
