"""Launch an instance for a queue.

Everything is checked first: a failed check leaves nothing behind. Then come the resources that cost
nothing and are reused (key, group, role, bucket), then what is rolled back on failure (uploads,
environment), then `queue.json`, and the instance last.

`queue.json` comes before the instance: it keeps two launches from using one queue id. If the launch
fails after it, the unclaimed `queue.json` costs nothing, and the same command uses it again. One
launch of a queue runs at a time (`launch_lock.py`).
"""

import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from secrets import token_hex
from typing import Any

from msgspec import Struct, structs

from spawn.cli.launch import launch_lock
from spawn.cli.launch import queue as queues
from spawn.cli.launch.preview import LaunchPreview, Resource
from spawn.cli.launch.queue import LaunchQueue
from spawn.cli.launch.request import LaunchRequest, requires_permissions
from spawn.cli.launch.rollback import Undo, rollback_on_failure
from spawn.cli.output.results import format_size
from spawn.core.errors import QueueExists, SpawnError
from spawn.store.aws import (
    iam_policies,
    key_pairs,
    launch_files,
    parameter,
    profile,
    resource_names,
    run_instances,
    tags,
)
from spawn.store.aws import network as networks
from spawn.store.aws.boot import payload as payloads
from spawn.store.aws.boot.environment_file import unset_references
from spawn.store.aws.boot.plan import BootPlan
from spawn.store.aws.boot.user_data import user_data
from spawn.store.aws.bucket import ensure_bucket
from spawn.store.aws.image import Image, describe_type, find_image, volume_gib
from spawn.store.aws.key_pairs import Key
from spawn.store.aws.network import Group
from spawn.store.aws.profile import Profile
from spawn.store.aws.session import AwsSession
from spawn.store.objects import encryption
from spawn.store.objects.bucket_client import OWNER
from spawn.store.objects.interface import AccessDenied, ObjectStore, Unavailable
from spawn.store.objects.location import open_place
from spawn.store.queue_dir.paths import Roots, ssh_key
from spawn.store.replica.claim import submit

Say = Callable[[str], None]
_ENCRYPT = "s3:PutEncryptionConfiguration"
_LOOKS = 5
_LOOK_SECONDS = 2.0
"""Attempts to find an instance whose `RunInstances` reply was lost, and seconds between them: EC2
lists a new instance with a delay."""


class LaunchPlan(Struct, frozen=True, kw_only=True):
    """What the checks have found; nothing is created yet."""

    aws: AwsSession
    request: LaunchRequest
    launch_id: str
    queue: LaunchQueue
    image: Image
    architecture: str
    volume_gib: int
    key: Key
    group: Group
    source: str
    """The network that may connect over SSH; empty if the user named the security group."""
    profile: Profile | None
    """None: the user named it."""
    policy: dict[str, Any]
    parameter: str
    """The name of the environment's SSM parameter; empty for none."""
    tags: dict[str, str]


def prepare(request: LaunchRequest, roots: Roots, now: datetime, say: Say) -> LaunchPlan:
    """Check everything that an instance needs, with a dry run of EC2.

    Raises:
        SpawnError: The instance cannot be launched. Nothing was created.
    """
    aws = AwsSession(request.region, request.profile)
    wanted = request.wanted
    sort = describe_type(aws, wanted.instance_type, spot=wanted.spot)
    found = find_image(aws, sort, wanted.ami)
    gib = volume_gib(found, wanted.volume_gib)
    around = networks.find_network(aws, wanted.subnet_id)
    vpc_id = around.vpc_id
    if not around.public:
        say(
            f"Warning: {wanted.subnet_id} gives no public address: the instance needs a NAT "
            "gateway or another route to the internet to install packages, and SSH works only from "
            "within its network, for example through a ProxyJump host"
        )
    source = ""
    if wanted.security_group is not None:
        group = networks.find_named_group(aws, wanted.security_group, vpc_id)
    else:
        source = wanted.ssh_from or networks.public_network()
        group = networks.find_own_group(aws, vpc_id, source)
    key = (
        key_pairs.find_named_key(aws, wanted.key_name)
        if wanted.key_name is not None
        else key_pairs.find_own_key(aws, ssh_key(os.environ))
    )
    if request.resume:
        queue = queues.find_resumable(aws, request, roots, say)
    else:
        queue = queues.find_new(aws, request, roots, now, say)
    for job_id, name in unset_references(queue.config, request.environment):
        say(
            f"Warning: job {job_id} will fail: its environment uses ${{{name}}}, which is not "
            "set on the instance; set it with --env-file"
        )
    launch_id = token_hex(16)
    named = resource_names.parameter_name(queue.queue_id, launch_id) if request.environment else ""
    arn = parameter.arn(aws, named) if named else ""
    assert queue.place.bucket is not None
    rights = iam_policies.instance_policy(
        queue.place.bucket, partition=aws.partition, environment=arn
    )
    role = None
    if wanted.instance_profile is not None:
        profile.find_named_profile(aws, wanted.instance_profile)
    else:
        own = queue.queue_id if named else None
        role = profile.find_own_profile(
            aws, resource_names.role_name(aws.region, queue.place.bucket, queue_id=own), rights
        )
    plan = LaunchPlan(
        aws=aws,
        request=request,
        launch_id=launch_id,
        queue=queue,
        image=found,
        architecture=sort.architecture,
        volume_gib=gib,
        key=key,
        group=group,
        source=source,
        profile=role,
        policy=rights,
        parameter=named,
        tags=tags.instance_tags(
            queue_id=queue.queue_id,
            location=queue.place.location,
            user=wanted.user,
            launch_id=launch_id,
            name=wanted.name or queue.queue_id,
            more=wanted.tags,
            parameter=named,
        ),
    )
    run_instances.dry_run(aws, _run_order(plan, dry=True))
    return plan


def launch(
    plan: LaunchPlan, roots: Roots, say: Say, *, pause: run_instances.Pause = time.sleep
) -> str:
    """Create what is missing and start the instance; returns its id.

    Raises:
        SpawnError: The launch failed. Nothing that costs money is left, except as warned.
    """
    aws, request, queue = plan.aws, plan.request, plan.queue
    with (
        payloads.create_payload(queue.data, sync=request.sync, setup=request.setup) as payload,
        rollback_on_failure(say) as undo,
    ):
        _check_payload(plan, payload, say)  # before anything is created
        plan = _create_reusable(plan, say)
        queue = plan.queue
        store = open_place(queue.place, roots.objects)
        _take_lock(undo, plan, store)
        _undo_uploads(undo, plan, list(payload.files))
        with requires_permissions("s3:PutObject", "s3:GetObject"):
            if queue.submitted:
                queues.clear_boot_log(store)
            payloads.upload_payload(payload, store, plan.launch_id)
        if plan.parameter:
            undo.add(
                lambda: parameter.delete(aws, plan.parameter),
                f"delete it with `aws ssm delete-parameter --name {plan.parameter}`",
            )
            parameter.put(aws, plan.parameter, request.environment)
        data = _user_data(plan, payload.files)
        if not queue.submitted:
            _submit(plan, roots)
        undo.add(lambda: _terminate(plan, pause), _find_by_hand(plan))
        instance_id = _run(plan, structs.replace(_run_order(plan), user_data=data), undo, pause)
        undo.clear()
    return instance_id


def dry_run(plan: LaunchPlan, say: Say) -> LaunchPreview:
    """What a dry run shows; the payload is built to know its size, and not sent.

    Raises:
        SpawnError: The payload cannot be built, or the user data would be too large.
    """
    request = plan.request
    with payloads.create_payload(
        plan.queue.data, sync=request.sync, setup=request.setup
    ) as payload:
        _check_payload(plan, payload, say)
        sent = _payload_text(request, payload.size)
    return LaunchPreview(
        wanted=request.wanted,
        region=plan.aws.region,
        queue_id=plan.queue.queue_id,
        location=plan.queue.place.location,
        image=f"{plan.image.ami} {plan.image.name}".strip(),
        architecture=plan.architecture,
        volume_gib=plan.volume_gib,
        parts=list(_parts(plan)),
        tags=plan.tags,
        ttl_at=request.ttl_at,
        resume=request.resume,
        upload=sent,
    )


def _check_payload(plan: LaunchPlan, payload: payloads.Payload, say: Say) -> None:
    """Print what is not copied, and check that the user data fits."""
    for each in payload.left_out:
        say(f"not copied: {each}")
    _user_data(plan, payload.files)


def _payload_text(request: LaunchRequest, count: int) -> str:
    folder = [] if request.sync is None else [f"the folder {request.sync.resolve()}"]
    setup = [] if request.setup is None else [f"the setup script {request.setup}"]
    return (
        f"{format_size(count)}: spawn, the configuration{''.join(f', {e}' for e in folder + setup)}"
    )


def _parts(plan: LaunchPlan) -> Iterator[Resource]:
    queue, wanted = plan.queue, plan.request.wanted
    yield Resource("Bucket", queue.place.bucket or "", is_new=not queue.bucket_exists)
    key = plan.key
    if not key.public and key.file is not None:
        yield Resource(
            "Key pair", "spawn-queue-...", is_new=True, note=f"private key in {key.file}"
        )
    else:
        yield Resource("Key pair", key.name, is_new=not key.exists)
    group = plan.group
    name = group.group_id or resource_names.GROUP
    more = "" if group.open else f"would allow SSH from {plan.source}"
    yield Resource("Security group", name, is_new=not group.group_id, note=more)
    if plan.profile is not None:
        made = not plan.profile.complete
        yield Resource("Role and instance profile", plan.profile.name, is_new=made)
    else:
        yield Resource("Instance profile", wanted.instance_profile or "")
    if plan.parameter:
        yield Resource("Environment", plan.parameter, is_new=True, note="an SSM SecureString")


def _create_reusable(plan: LaunchPlan, say: Say) -> LaunchPlan:
    """Create the missing resources that cost nothing and that later launches reuse."""
    aws, queue = plan.aws, plan.queue
    key, group, place = plan.key, plan.group, queue.place
    if not queue.bucket_exists:
        with requires_permissions("s3:CreateBucket", "s3:PutBucketPublicAccessBlock", _ENCRYPT):
            place = ensure_bucket(place, say, chosen=queue.chosen)
    if not key.exists:
        key = key_pairs.create_key(aws, key)
        say(f"Created key pair {key.name}; its private key is {key.file}")
    if not (group.group_id and group.open):
        group = networks.create_group(aws, group, plan.source)
        say(f"Security group {group.group_id} allows SSH from {plan.source}")
    if plan.profile is not None and not plan.profile.complete:
        profile.create_profile(aws, plan.profile, plan.policy)
        say(f"Created role and instance profile {plan.profile.name}")
    return structs.replace(
        plan, key=key, group=group, queue=structs.replace(queue, place=place, bucket_exists=True)
    )


def _submit(plan: LaunchPlan, roots: Roots) -> None:
    try:
        with requires_permissions("s3:PutObject"):
            submit(open_place(plan.queue.place, roots.objects), plan.queue.config)
    except QueueExists as error:
        raise QueueExists(
            error.what,
            why="another launch came first",
            hint="`spawn list` shows its instance; --queue-id NEW uses another queue id",
        ) from None


def _take_lock(undo: Undo, plan: LaunchPlan, store: ObjectStore) -> None:
    undo.add(
        lambda: launch_lock.release(store, plan.launch_id),
        "the next launch of this queue is rejected for ten minutes",
    )
    try:
        with requires_permissions("s3:PutObject", "s3:GetObject"):
            launch_lock.acquire(plan.aws, store, plan.queue.queue_id, plan.launch_id)
    except (AccessDenied, QueueExists):
        undo.drop_last()  # another launch has the lock
        raise
    queues.expect_no_instance(plan.aws, plan.queue)  # another launch may have just finished


def _undo_uploads(undo: Undo, plan: LaunchPlan, sent_names: list[str]) -> None:
    place = plan.queue.place
    at = f"{place.location}_spawn/boot/{plan.launch_id}/"
    undo.add(
        lambda: launch_files.delete_launch_files(plan.aws, place, plan.launch_id, sent_names),
        f"delete the uploads with `aws s3 rm --recursive {at}`",
    )


def _run(
    plan: LaunchPlan,
    order: run_instances.RunInstancesRequest,
    undo: Undo,
    pause: run_instances.Pause,
) -> str:
    """Start the instance. If the reply is lost, find the instance by the launch's tag."""
    try:
        return run_instances.start_instance(plan.aws, order, pause=pause)
    except AccessDenied:
        undo.drop_last()  # EC2 has started nothing
        raise
    except Unavailable:
        found = _find(plan, pause)
        if found:
            return found
        raise


def _terminate(plan: LaunchPlan, pause: run_instances.Pause) -> str:
    """Terminate the instance, if it exists; returns a message."""
    found = _find(plan, pause)
    if not found:
        return ""
    run_instances.terminate(plan.aws, found)
    return f"terminated {found}"


def _find(plan: LaunchPlan, pause: run_instances.Pause) -> str:
    for number in range(_LOOKS):
        if number:
            pause(_LOOK_SECONDS)
        found = run_instances.find_launched(plan.aws, plan.launch_id)
        if found:
            return found
    return ""


def _find_by_hand(plan: LaunchPlan) -> str:
    return (
        "an instance may have been started: `aws ec2 describe-instances --region "
        f"{plan.aws.region} --filters Name=tag:{tags.LAUNCH},Values={plan.launch_id}` shows it"
    )


def _user_data(plan: LaunchPlan, files: dict[str, str]) -> bytes:
    try:
        return user_data(_boot_plan(plan, files))
    except ValueError as error:
        raise SpawnError(
            "the user data of the instance would be too large",
            why=str(error),
            hint="use shorter names for the queue, bucket, prefix and files",
        ) from None


def _boot_plan(plan: LaunchPlan, files: dict[str, str]) -> BootPlan:
    request, place = plan.request, plan.queue.place
    assert place.bucket is not None
    return BootPlan(
        launch_id=plan.launch_id,
        queue_id=plan.queue.queue_id,
        region=plan.aws.region,
        bucket=place.bucket,
        prefix=f"{place.prefix}/",
        files=files,
        user=request.wanted.user,
        resume=request.resume,
        env_parameter=plan.parameter or None,
        ttl_at=request.ttl_at,
        on_complete=request.wanted.on_complete,
        bucket_owner=os.environ.get(OWNER) or None,
        sse=os.environ.get(encryption.ALGORITHM) or None,
        sse_key=os.environ.get(encryption.KEY) or None,
        force=request.force,
        retry_failed=request.retry_failed,
        kill_grace=plan.queue.config.kill_grace,
    )


def _run_order(plan: LaunchPlan, *, dry: bool = False) -> run_instances.RunInstancesRequest:
    """The parameters of `RunInstances`. A dry run omits what does not exist yet."""
    wanted = plan.request.wanted
    made = plan.profile is None or plan.profile.complete or not dry
    name = plan.profile.name if plan.profile is not None else wanted.instance_profile or ""
    return run_instances.RunInstancesRequest(
        wanted=wanted,
        launch_id=plan.launch_id,
        image=plan.image,
        volume_gib=plan.volume_gib,
        tags=plan.tags,
        group_id=plan.group.group_id,
        key_name=plan.key.name if plan.key.exists else "",
        profile=name if made else "",
    )
