"""`spawn launch`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spawn.cli.flags import Bucket, Prefix, Profile, option, region_option, typed

if TYPE_CHECKING:
    from spawn.core.boot.plan import OnComplete

_ENDS = ("keep", "stop", "terminate")


def launch(
    context: typer.Context,
    instance_type: Annotated[str, option("--instance-type", "TYPE", "As m7i.large.")],
    batch_queue: Annotated[
        Path | None, option("--batch-queue", "FILE", "The queue's configuration, or `-` for stdin.")
    ] = None,
    resume: Annotated[
        str | None,
        option(
            "--resume", "QUEUE-ID", "Go on with a queue whose machine is gone, from its log in S3."
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
    region: Annotated[str | None, region_option("The instance's, and the bucket's.")] = None,
    profile: Profile = None,
    sync: Annotated[
        Path | None,
        option("--sync", "DIR", "A folder that the jobs need; what .gitignore names stays here."),
    ] = None,
    setup: Annotated[
        Path | None,
        option("--setup", "FILE", "A script that root runs on the instance before the queue."),
    ] = None,
    env_file: Annotated[
        Path | None,
        option(
            "--env-file",
            "FILE",
            "KEY=VALUE lines for the jobs' environment; kept encrypted in SSM.",
        ),
    ] = None,
    ttl: Annotated[
        str | None,
        option("--ttl", "DURATION", "The queue is stopped so long from now, finished or not."),
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
        option("--volume-size", "GIB", "Of its encrypted root volume; 20 where nobody says."),
    ] = None,
    ami: Annotated[
        str | None, option("--ami", "AMI", "An image, instead of the newest Amazon Linux 2023.")
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
        option("--key-name", "NAME", "A key pair of EC2, instead of one that is made once."),
    ] = None,
    subnet_id: Annotated[
        str | None, option("--subnet-id", "SUBNET", "Instead of the default network.")
    ] = None,
    security_group: Annotated[
        str | None,
        option(
            "--security-group", "SG", "Instead of one that is made once, for SSH from here alone."
        ),
    ] = None,
    ssh_from: Annotated[
        str | None,
        option(
            "--ssh-from",
            "CIDR",
            "From where SSH is let in, instead of this machine's public address.",
            "SPAWN_SSH_FROM",
        ),
    ] = None,
    iam_instance_profile: Annotated[
        str | None,
        option(
            "--iam-instance-profile",
            "NAME",
            "Instead of one that is made once, with the rights of docs/iam-policies.md.",
        ),
    ] = None,
    queue_id: Annotated[
        str | None, option("--queue-id", "ID", "Instead of the file's, or of a generated one.")
    ] = None,
    bucket: Bucket = None,
    prefix: Prefix = None,
    name: Annotated[
        str | None,
        option("--name", "TEXT", "The instance's name; the queue's id where nobody says."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        option("--tag", "KEY=VALUE", "A tag for instance and volume; may be said again."),
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
    from typing import cast

    from spawn.cli import bootstrap
    from spawn.cli.configuration import load
    from spawn.cli.launch import launch as launches
    from spawn.cli.launch import order as orders
    from spawn.cli.launch.told import remember, tell_next
    from spawn.cli.sources.ec2 import configured
    from spawn.cli.tell import tell
    from spawn.core.launch import source
    from spawn.core.launch import tags as tagging
    from spawn.core.launch.sheet import lines
    from spawn.core.launch.wanted import Wanted, check

    _expect(batch_queue, resume, queue_id, on_complete, again=retry_failed or force)
    if security_group is not None and not typed(context, "ssh_from"):
        ssh_from = None  # that of the environment is but a default, and this group needs none
    loaded = None if batch_queue is None else load(batch_queue)
    chosen = resume or queue_id or (loaded.config.queue_id if loaded else None)
    order = orders.Order(
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
                tags=tagging.parse(tag or []),
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
        region=configured(region),
        profile=profile,
        typed=typed(context, "bucket", "prefix"),
        environment=orders.environment_of(env_file),
        sync=orders.folder(sync),
        setup=orders.script(setup),
        ttl_at=orders.until(ttl, bootstrap.now()),
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


def _expect(
    batch_queue: Path | None,
    resume: str | None,
    queue_id: str | None,
    on_complete: str,
    *,
    again: bool,
) -> None:
    """Refuse flags that do not go together, before anything is read."""
    from spawn.core.errors import InvalidArgument

    if (batch_queue is None) == (resume is None):
        raise InvalidArgument(
            "one of --batch-queue FILE and --resume QUEUE-ID is needed"
            if resume is None
            else "--resume excludes --batch-queue",
            why="" if resume is None else "the queue's configuration is in its log",
        )
    if resume is not None and queue_id is not None:
        raise InvalidArgument("--resume excludes --queue-id", why="the queue has its id")
    if resume is None and again:
        raise InvalidArgument("--retry-failed and --force go with --resume")
    if on_complete not in _ENDS:
        raise InvalidArgument(
            f"--on-complete {on_complete} cannot be", hint=f"one of {', '.join(_ENDS)}"
        )
