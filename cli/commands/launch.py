"""`spawn launch`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spawn.cli.flags import Bucket, Prefix, Profile, typed

if TYPE_CHECKING:
    from spawn.cli.launch.order import Order

_ENDS = ("keep", "stop", "terminate")


def launch(
    context: typer.Context,
    instance_type: Annotated[
        str,
        typer.Option("--instance-type", metavar="TYPE", help="As m7i.large.", show_default=False),
    ],
    batch_queue: Annotated[
        Path | None,
        typer.Option(
            "--batch-queue",
            metavar="FILE",
            help="The queue's configuration, or `-` for stdin.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="QUEUE-ID",
            help="Go on with a queue whose machine is gone, from its log in S3.",
            show_default=False,
        ),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="With --resume: try failed jobs again."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="With --resume: though its owner may be alive. A job may run twice."
        ),
    ] = False,
    region: Annotated[
        str | None,
        typer.Option(
            "--region",
            metavar="REGION",
            help="The instance's, and the bucket's.",
            envvar="SPAWN_REGION",
            show_default=False,
        ),
    ] = None,
    profile: Profile = None,
    sync: Annotated[
        Path | None,
        typer.Option(
            "--sync",
            metavar="DIR",
            help="A folder that the jobs need; what .gitignore names stays here.",
            show_default=False,
        ),
    ] = None,
    setup: Annotated[
        Path | None,
        typer.Option(
            "--setup",
            metavar="FILE",
            help="A script that root runs on the instance before the queue.",
            show_default=False,
        ),
    ] = None,
    env_file: Annotated[
        Path | None,
        typer.Option(
            "--env-file",
            metavar="FILE",
            help="KEY=VALUE lines for the jobs' environment; kept encrypted in SSM.",
            show_default=False,
        ),
    ] = None,
    ttl: Annotated[
        str | None,
        typer.Option(
            "--ttl",
            metavar="DURATION",
            help="The queue is stopped so long from now, finished or not.",
            show_default=False,
        ),
    ] = None,
    on_complete: Annotated[
        str,
        typer.Option(
            "--on-complete",
            metavar="keep|stop|terminate",
            help="What becomes of the instance when the queue has ended.",
        ),
    ] = "keep",
    spot: Annotated[
        bool, typer.Option("--spot", help="Cheaper, and EC2 may take it away.")
    ] = False,
    volume_size: Annotated[
        int | None,
        typer.Option(
            "--volume-size",
            metavar="GIB",
            help="Of its encrypted root volume; 20 where nobody says.",
            show_default=False,
        ),
    ] = None,
    ami: Annotated[
        str | None,
        typer.Option(
            "--ami",
            metavar="AMI",
            help="An image, instead of the newest Amazon Linux 2023.",
            show_default=False,
        ),
    ] = None,
    ssh_user: Annotated[
        str,
        typer.Option(
            "--ssh-user",
            metavar="NAME",
            help="Who logs in to the image, and runs the jobs.",
            envvar="SPAWN_SSH_USER",
        ),
    ] = "ec2-user",
    key_name: Annotated[
        str | None,
        typer.Option(
            "--key-name",
            metavar="NAME",
            help="A key pair of EC2, instead of one that is made once.",
            show_default=False,
        ),
    ] = None,
    subnet_id: Annotated[
        str | None,
        typer.Option(
            "--subnet-id",
            metavar="SUBNET",
            help="Instead of the default network.",
            show_default=False,
        ),
    ] = None,
    security_group: Annotated[
        str | None,
        typer.Option(
            "--security-group",
            metavar="SG",
            help="Instead of one that is made once, for SSH from here alone.",
            show_default=False,
        ),
    ] = None,
    ssh_from: Annotated[
        str | None,
        typer.Option(
            "--ssh-from",
            metavar="CIDR",
            help="From where SSH is let in, instead of this machine's public address.",
            envvar="SPAWN_SSH_FROM",
            show_default=False,
        ),
    ] = None,
    iam_instance_profile: Annotated[
        str | None,
        typer.Option(
            "--iam-instance-profile",
            metavar="NAME",
            help="Instead of one that is made once, with the rights of docs/iam-policies.md.",
            show_default=False,
        ),
    ] = None,
    queue_id: Annotated[
        str | None,
        typer.Option(
            "--queue-id",
            metavar="ID",
            help="Instead of the file's, or of a generated one.",
            show_default=False,
        ),
    ] = None,
    bucket: Bucket = None,
    prefix: Prefix = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="TEXT",
            help="The instance's name; the queue's id where nobody says.",
            show_default=False,
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="KEY=VALUE",
            help="A tag for instance and volume; may be said again.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be made and run; change nothing.")
    ] = False,
) -> None:
    """Launch an EC2 instance that runs a queue.

    The configuration is validated first. What is missing is made once, with least rights: bucket,
    key pair, security group, role. The instance's id is printed on stdout. A launch that fails
    leaves nothing behind that costs.
    """
    from spawn.cli import bootstrap
    from spawn.cli.launch import launch as launches
    from spawn.cli.launch.told import remember, tell_next
    from spawn.cli.tell import tell
    from spawn.core.launch.sheet import lines

    order = _order(
        instance_type=instance_type,
        batch_queue=batch_queue,
        resume=resume,
        retry_failed=retry_failed,
        force=force,
        region=region,
        profile=profile,
        sync=sync,
        setup=setup,
        env_file=env_file,
        ttl=ttl,
        on_complete=on_complete,
        spot=spot,
        volume_size=volume_size,
        ami=ami,
        ssh_user=ssh_user,
        key_name=key_name,
        subnet_id=subnet_id,
        security_group=security_group,
        ssh_from=_said(context, ssh_from, security_group),
        iam_instance_profile=iam_instance_profile,
        queue_id=queue_id,
        bucket=bucket,
        prefix=prefix,
        typed=typed(context, "bucket", "prefix"),
        name=name,
        tags=tag or [],
    )
    roots = bootstrap.machine()
    ready = launches.look(order, roots, bootstrap.now(), bootstrap.say)
    if dry_run:
        for line in lines(launches.sheet(ready, bootstrap.say)):
            tell(line)
        return
    instance_id = launches.launch(ready, roots, bootstrap.say)
    tell(instance_id)
    remember(roots, ready, instance_id)
    tell_next(ready, instance_id, bootstrap.say)


def _said(context: typer.Context, ssh_from: str | None, group: str | None) -> str | None:
    """`--ssh-from`; that of the environment is but a default, and a group that was named needs
    none."""
    return None if group is not None and not typed(context, "ssh_from") else ssh_from


def _order(
    *,
    instance_type: str,
    batch_queue: Path | None,
    resume: str | None,
    retry_failed: bool,
    force: bool,
    region: str | None,
    profile: str | None,
    sync: Path | None,
    setup: Path | None,
    env_file: Path | None,
    ttl: str | None,
    on_complete: str,
    spot: bool,
    volume_size: int | None,
    ami: str | None,
    ssh_user: str,
    key_name: str | None,
    subnet_id: str | None,
    security_group: str | None,
    ssh_from: str | None,
    iam_instance_profile: str | None,
    queue_id: str | None,
    bucket: str | None,
    prefix: str | None,
    typed: bool,
    name: str | None,
    tags: list[str],
) -> "Order":
    """All that can be judged without asking anybody."""
    import os
    from typing import cast

    from spawn.cli import bootstrap
    from spawn.cli.configuration import load
    from spawn.cli.launch import order as orders
    from spawn.core.boot.plan import OnComplete
    from spawn.core.errors import InvalidArgument
    from spawn.core.launch import source
    from spawn.core.launch import tags as tagging
    from spawn.core.launch.wanted import Wanted, check

    if (batch_queue is None) == (resume is None):
        raise InvalidArgument(
            "one of --batch-queue FILE and --resume QUEUE-ID is needed"
            if resume is None
            else "--resume excludes --batch-queue",
            why="" if resume is None else "the queue's configuration is in its log",
        )
    if resume is not None and queue_id is not None:
        raise InvalidArgument("--resume excludes --queue-id", why="the queue has its id")
    if resume is None and (retry_failed or force):
        raise InvalidArgument("--retry-failed and --force go with --resume")
    if on_complete not in _ENDS:
        raise InvalidArgument(
            f"--on-complete {on_complete} cannot be", hint=f"one of {', '.join(_ENDS)}"
        )
    loaded = None if batch_queue is None else load(batch_queue)
    chosen = resume or queue_id or (loaded.config.queue_id if loaded else None)
    return orders.Order(
        wanted=check(
            Wanted(
                instance_type=instance_type,
                ami=ami,
                key_name=key_name,
                subnet_id=subnet_id,
                security_group=security_group,
                instance_profile=iam_instance_profile,
                spot=spot,
                volume_gib=volume_size,
                on_complete=cast("OnComplete", on_complete),
                user=ssh_user,
                name=name,
                tags=tagging.parse(tags),
                ssh_from=None if ssh_from is None else source.network(ssh_from),
            )
        ),
        config=b"" if loaded is None else loaded.data,
        parsed=None if loaded is None else loaded.config,
        queue_id=orders.chosen_id(chosen),
        resume=resume is not None,
        retry_failed=retry_failed,
        force=force,
        bucket=bucket,
        prefix=orders.place_in_bucket(prefix or None),
        region=region or os.environ.get("AWS_REGION") or None,
        profile=profile,
        typed=typed,
        environment=orders.environment_of(env_file),
        sync=orders.folder(sync),
        setup=orders.script(setup),
        ttl_at=orders.until(ttl, bootstrap.now()),
    )
