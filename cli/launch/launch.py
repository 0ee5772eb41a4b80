"""Launch an instance for a queue.

All is looked at first: what fails there has made nothing. Then comes what costs nothing and is used
again (key, group, role, bucket); then what is taken back when something fails (what was sent, the
environment); then `queue.json`, and the instance last.

`queue.json` comes before the instance: it is the fence that keeps two launches from one name, and
must stand before anything costs. A launch that fails after it leaves one that nobody has claimed,
which costs nothing, and which the same command takes up: one launch at a time (`turn.py`).
"""

import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from secrets import token_hex
from typing import Any

from msgspec import Struct, structs

from spawn.cli.launch import queue as queues
from spawn.cli.launch import turn
from spawn.cli.launch.needing import needing
from spawn.cli.launch.order import Order
from spawn.cli.launch.queue import Queue
from spawn.cli.launch.undo import Undo, undoing
from spawn.cli.render.results import size
from spawn.core.boot.environment import unset
from spawn.core.boot.plan import BootPlan
from spawn.core.boot.user_data import user_data
from spawn.core.errors import QueueExists, SpawnError
from spawn.core.launch import names, policy, tags
from spawn.core.launch.sheet import Part, Sheet
from spawn.core.launch.source import network
from spawn.store.boot import payload as payloads
from spawn.store.bucket import ensure_bucket
from spawn.store.ec2 import address, keys, parameter, profile, run, sent
from spawn.store.ec2 import network as networks
from spawn.store.ec2.image import Image, image, volume_gib
from spawn.store.ec2.keys import Key
from spawn.store.ec2.kind import kind
from spawn.store.ec2.network import Group
from spawn.store.ec2.profile import Profile
from spawn.store.ec2.session import Aws
from spawn.store.objects import encryption
from spawn.store.objects.asking import OWNER
from spawn.store.objects.port import Denied, ObjectStore, Unavailable
from spawn.store.paths import Roots, ssh_key
from spawn.store.place import open_place
from spawn.store.replica.claim import submit

Say = Callable[[str], None]
_ENCRYPT = "s3:PutEncryptionConfiguration"
_LOOKS = 5
_LOOK_SECONDS = 2.0
"""How often, and how far apart, EC2 is asked for an instance whose reply was lost: it lists what it
has just started with a delay."""


class Ready(Struct, frozen=True, kw_only=True):
    """All that was looked at. Nothing is made."""

    aws: Aws
    order: Order
    launch_id: str
    queue: Queue
    image: Image
    architecture: str
    volume_gib: int
    key: Key
    group: Group
    source: str
    """The network that SSH comes from; empty where somebody named the group."""
    profile: Profile | None
    """None: somebody named it."""
    policy: dict[str, Any]
    parameter: str
    """The name of the environment's parameter; empty for none."""
    tags: dict[str, str]


def look(order: Order, roots: Roots, now: datetime, say: Say) -> Ready:
    """Look at all that an instance needs, and ask EC2 whether it would start one.

    Raises:
        SpawnError: It cannot be launched. Nothing was made.
    """
    aws = Aws(order.region, order.profile)
    wanted = order.wanted
    sort = kind(aws, wanted.instance_type, spot=wanted.spot)
    found = image(aws, sort, wanted.ami)
    gib = volume_gib(found, wanted.volume_gib)
    around = networks.network(aws, wanted.subnet_id)
    vpc_id = around.vpc_id
    if not around.public:
        say(
            f"Warning: {wanted.subnet_id} gives no public address: the instance needs a NAT "
            "gateway or another way out to install itself, and SSH comes to it only from within "
            "that network, as by a ProxyJump"
        )
    source = ""
    if wanted.security_group is not None:
        group = networks.named(aws, wanted.security_group, vpc_id)
    else:
        source = wanted.ssh_from or network(address.ours())
        group = networks.ours(aws, vpc_id, source)
    key = (
        keys.named(aws, wanted.key_name)
        if wanted.key_name is not None
        else keys.ours(aws, ssh_key(os.environ))
    )
    if order.resume:
        queue = queues.begun(aws, order, roots, say)
    else:
        queue = queues.fresh(aws, order, roots, now, say)
    for job_id, name in unset(queue.config, order.environment):
        say(
            f"Warning: job {job_id} will fail: the instance will not have the ${{{name}}} that its "
            "environment takes; --env-file gives it"
        )
    launch_id = token_hex(16)
    named = names.parameter(queue.queue_id, launch_id) if order.environment else ""
    arn = parameter.arn(aws, named) if named else ""
    assert queue.place.bucket is not None
    rights = policy.instance(queue.place.bucket, partition=aws.partition, environment=arn)
    role = None
    if wanted.instance_profile is not None:
        profile.named(aws, wanted.instance_profile)
    else:
        own = queue.queue_id if named else None
        role = profile.look(aws, names.role(aws.region, queue.place.bucket, queue_id=own), rights)
    ready = Ready(
        aws=aws,
        order=order,
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
        tags=tags.of_instance(
            queue_id=queue.queue_id,
            location=queue.place.location,
            user=wanted.user,
            launch_id=launch_id,
            name=wanted.name or queue.queue_id,
            more=wanted.tags,
            parameter=named,
        ),
    )
    run.may_run(aws, _order(ready, dry=True))
    return ready


def launch(ready: Ready, roots: Roots, say: Say, *, pause: run.Pause = time.sleep) -> str:
    """Make what is missing and start the instance; returns its id.

    Raises:
        SpawnError: It could not be started. Nothing is left that costs, or it was said what is.
    """
    aws, order, queue = ready.aws, ready.order, ready.queue
    with (
        payloads.gather(queue.data, sync=order.sync, setup=order.setup) as payload,
        undoing(say) as undo,
    ):
        _check(ready, payload, say)  # before anything is made
        ready = _make(ready, say)
        queue = ready.queue
        store = open_place(queue.place, roots.objects)
        _take_turn(undo, ready, store)
        _take_back(undo, ready, list(payload.files))
        with needing("s3:PutObject", "s3:GetObject"):
            if queue.there:
                queues.forget_boot(store)
            payloads.send(payload, store, ready.launch_id)
        if ready.parameter:
            undo.add(
                lambda: parameter.delete(aws, ready.parameter),
                f"`aws ssm delete-parameter --name {ready.parameter}` does it",
            )
            parameter.put(aws, ready.parameter, order.environment)
        data = _data(ready, payload.files)
        if not queue.there:
            _submit(ready, roots)
        undo.add(lambda: _terminate(ready, pause), _by_hand(ready))
        instance_id = _run(ready, structs.replace(_order(ready), user_data=data), undo, pause)
        undo.keep()
    return instance_id


def sheet(ready: Ready, say: Say) -> Sheet:
    """What a dry run tells. What would be sent is gathered for it, and not sent.

    Raises:
        SpawnError: It cannot be gathered, or is more than an instance can be told.
    """
    order = ready.order
    with payloads.gather(ready.queue.data, sync=order.sync, setup=order.setup) as payload:
        _check(ready, payload, say)
        sent = _sent(order, payload.size)
    return Sheet(
        wanted=order.wanted,
        region=ready.aws.region,
        queue_id=ready.queue.queue_id,
        location=ready.queue.place.location,
        image=f"{ready.image.ami} {ready.image.name}".strip(),
        architecture=ready.architecture,
        volume_gib=ready.volume_gib,
        parts=list(_parts(ready)),
        tags=ready.tags,
        ttl_at=order.ttl_at,
        resume=order.resume,
        sent=sent,
    )


def _check(ready: Ready, payload: payloads.Payload, say: Say) -> None:
    """Say what stays here, and see that the instance can be told what it needs."""
    for each in payload.left_out:
        say(f"stays here: {each}")
    _data(ready, payload.files)


def _sent(order: Order, count: int) -> str:
    folder = [] if order.sync is None else [f"the folder {order.sync.resolve()}"]
    setup = [] if order.setup is None else [f"the setup {order.setup}"]
    return f"{size(count)}: spawn, the configuration{''.join(f', {e}' for e in folder + setup)}"


def _parts(ready: Ready) -> Iterator[Part]:
    queue, wanted = ready.queue, ready.order.wanted
    yield Part("Bucket", queue.place.bucket or "", made=not queue.bucket)
    key = ready.key
    if not key.public and key.file is not None:
        yield Part("Key pair", "spawn-queue-...", made=True, more=f"private key in {key.file}")
    else:
        yield Part("Key pair", key.name, made=not key.there)
    group = ready.group
    name = group.group_id or names.GROUP
    more = "" if group.open else f"SSH from {ready.source} would be let in"
    yield Part("Security group", name, made=not group.group_id, more=more)
    if ready.profile is not None:
        made = not ready.profile.complete
        yield Part("Role and instance profile", ready.profile.name, made=made)
    else:
        yield Part("Instance profile", wanted.instance_profile or "")
    if ready.parameter:
        yield Part("Environment", ready.parameter, made=True, more="SecureString of SSM")


def _make(ready: Ready, say: Say) -> Ready:
    """Make what costs nothing and is used again."""
    aws, queue = ready.aws, ready.queue
    key, group, place = ready.key, ready.group, queue.place
    if not queue.bucket:
        with needing("s3:CreateBucket", "s3:PutBucketPublicAccessBlock", _ENCRYPT):
            place = ensure_bucket(place, say, chosen=queue.chosen)
    if not key.there:
        key = keys.make(aws, key)
        say(f"made the key pair {key.name}; its private key is {key.file}")
    if not (group.group_id and group.open):
        group = networks.make(aws, group, ready.source)
        say(f"security group {group.group_id} lets {ready.source} in over SSH")
    if ready.profile is not None and not ready.profile.complete:
        profile.make(aws, ready.profile, ready.policy)
        say(f"made the role and instance profile {ready.profile.name}")
    return structs.replace(
        ready, key=key, group=group, queue=structs.replace(queue, place=place, bucket=True)
    )


def _submit(ready: Ready, roots: Roots) -> None:
    try:
        with needing("s3:PutObject"):
            submit(open_place(ready.queue.place, roots.objects), ready.queue.config)
    except QueueExists as error:
        raise QueueExists(
            error.what,
            why="another launch was first",
            hint="`spawn list` shows its instance; --queue-id NEW runs it under another name",
        ) from None


def _take_turn(undo: Undo, ready: Ready, store: ObjectStore) -> None:
    undo.add(
        lambda: turn.give_back(store, ready.launch_id),
        "the next launch of this queue is refused for ten minutes",
    )
    try:
        with needing("s3:PutObject", "s3:GetObject"):
            turn.take(ready.aws, store, ready.queue.queue_id, ready.launch_id)
    except (Denied, QueueExists):
        undo.drop()  # it is not ours
        raise
    queues.expect_alone(ready.aws, ready.queue)  # another may have been done since we looked


def _take_back(undo: Undo, ready: Ready, sent_names: list[str]) -> None:
    place = ready.queue.place
    at = f"{place.location}_spawn/boot/{ready.launch_id}/"
    undo.add(
        lambda: sent.take_back(ready.aws, place, ready.launch_id, sent_names),
        f"`aws s3 rm --recursive {at}` does it",
    )


def _run(ready: Ready, order: run.Order, undo: Undo, pause: run.Pause) -> str:
    """Start the instance. One whose reply was lost is found by its launch's tag."""
    try:
        return run.run(ready.aws, order, pause=pause)
    except Denied:
        undo.drop()  # EC2 has said that nothing was started
        raise
    except Unavailable:
        found = _find(ready, pause)
        if found:
            return found
        raise


def _terminate(ready: Ready, pause: run.Pause) -> str:
    """End the instance, if there is one after all."""
    found = _find(ready, pause)
    if not found:
        return ""
    run.terminate(ready.aws, found)
    return f"terminated {found}"


def _find(ready: Ready, pause: run.Pause) -> str:
    for number in range(_LOOKS):
        if number:
            pause(_LOOK_SECONDS)
        found = run.find(ready.aws, ready.launch_id)
        if found:
            return found
    return ""


def _by_hand(ready: Ready) -> str:
    return (
        "an instance may have been started: `aws ec2 describe-instances --region "
        f"{ready.aws.region} --filters Name=tag:{tags.LAUNCH},Values={ready.launch_id}` shows it"
    )


def _data(ready: Ready, files: dict[str, str]) -> bytes:
    try:
        return user_data(_plan(ready, files))
    except ValueError as error:
        raise SpawnError(
            "the instance cannot be told all that it must know",
            why=str(error),
            hint="shorter names of queue, bucket, prefix and files",
        ) from None


def _plan(ready: Ready, files: dict[str, str]) -> BootPlan:
    order, place = ready.order, ready.queue.place
    assert place.bucket is not None
    return BootPlan(
        launch_id=ready.launch_id,
        queue_id=ready.queue.queue_id,
        region=ready.aws.region,
        bucket=place.bucket,
        prefix=f"{place.prefix}/",
        files=files,
        user=order.wanted.user,
        resume=order.resume,
        env_parameter=ready.parameter or None,
        ttl_at=order.ttl_at,
        on_complete=order.wanted.on_complete,
        bucket_owner=os.environ.get(OWNER) or None,
        sse=os.environ.get(encryption.ALGORITHM) or None,
        sse_key=os.environ.get(encryption.KEY) or None,
        force=order.force,
        retry_failed=order.retry_failed,
        kill_grace=ready.queue.config.kill_grace,
    )


def _order(ready: Ready, *, dry: bool = False) -> run.Order:
    """What EC2 is told. A dry run leaves out what is not there yet: EC2 would not know it."""
    wanted = ready.order.wanted
    made = ready.profile is None or ready.profile.complete or not dry
    name = ready.profile.name if ready.profile is not None else wanted.instance_profile or ""
    return run.Order(
        wanted=wanted,
        launch_id=ready.launch_id,
        image=ready.image,
        volume_gib=ready.volume_gib,
        tags=ready.tags,
        group_id=ready.group.group_id,
        key_name=ready.key.name if ready.key.there else "",
        profile=name if made else "",
    )
