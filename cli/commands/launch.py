"""`spawn launch`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spawn.cli.flags import (
    RUN,
    SSH,
    Bucket,
    Prefix,
    Profile,
    option,
    region_option,
    typed_on_command_line,
)

if TYPE_CHECKING:
    from spawn.store.aws.boot.plan import OnComplete

_INSTANCE = "Instance options"
_ON_COMPLETE = ("keep", "stop", "terminate")


def launch(
    context: typer.Context,
    instance_type: Annotated[
        str,
        option("--instance-type", "TYPE", "EC2 instance type, such as m7i.large.", group=_INSTANCE),
    ],
    batch_queue: Annotated[
        Path | None,
        option("--batch-queue", "FILE", "Queue configuration file, or `-` for stdin."),
    ] = None,
    queue_id: Annotated[
        str | None,
        option(
            "--queue-id", "ID", "Queue ID (default: the configuration's, else a generated one)."
        ),
    ] = None,
    sync: Annotated[
        Path | None,
        option("--sync", "DIR", "Folder to copy to the instance, except what .gitignore excludes."),
    ] = None,
    setup: Annotated[
        Path | None,
        option("--setup", "FILE", "Script to run as root on the instance before the queue starts."),
    ] = None,
    env_file: Annotated[
        Path | None,
        option(
            "--env-file",
            "FILE",
            "File of KEY=VALUE lines for the jobs' environment, stored encrypted in SSM.",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        option("--resume", "QUEUE-ID", "Resume this queue from its log in S3 on a new instance."),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="With --resume: retry failed jobs."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="With --resume: take over even if the owner may be alive; a job may run twice.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show what would be created and started, and change nothing."
        ),
    ] = False,
    spot: Annotated[
        bool,
        typer.Option(
            "--spot",
            help="Launch a spot instance: cheaper, but EC2 may interrupt it.",
            rich_help_panel=_INSTANCE,
        ),
    ] = False,
    volume_size: Annotated[
        int | None,
        option(
            "--volume-size",
            "GIB",
            "Size of the encrypted root volume in GiB (default: 20).",
            group=_INSTANCE,
        ),
    ] = None,
    ami: Annotated[
        str | None,
        option(
            "--ami",
            "AMI",
            "Image to boot (default: the newest Amazon Linux 2023).",
            group=_INSTANCE,
        ),
    ] = None,
    subnet_id: Annotated[
        str | None,
        option(
            "--subnet-id",
            "SUBNET",
            "Subnet of the instance (default: one of the default VPC).",
            group=_INSTANCE,
        ),
    ] = None,
    security_group: Annotated[
        str | None,
        option(
            "--security-group",
            "SG",
            "Security group (default: one that allows SSH from --ssh-from, created on first use).",
            group=_INSTANCE,
        ),
    ] = None,
    iam_instance_profile: Annotated[
        str | None,
        option(
            "--iam-instance-profile",
            "NAME",
            "Instance profile (default: one with the permissions in docs/iam-policies.md, created "
            "on first use).",
            group=_INSTANCE,
        ),
    ] = None,
    name: Annotated[
        str | None,
        option(
            "--name", "TEXT", "Name tag of the instance (default: the queue ID).", group=_INSTANCE
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        option(
            "--tag",
            "KEY=VALUE",
            "Tag for the instance and its volume; may be repeated.",
            group=_INSTANCE,
        ),
    ] = None,
    ttl: Annotated[
        str | None,
        option(
            "--ttl", "DURATION", "Stop the queue this long from now, finished or not.", group=RUN
        ),
    ] = None,
    on_complete: Annotated[
        str,
        typer.Option(
            "--on-complete",
            metavar="keep|stop|terminate",
            help="What to do with the instance when the queue has ended.",
            rich_help_panel=RUN,
        ),
    ] = "keep",
    bucket: Bucket = None,
    prefix: Prefix = None,
    region: Annotated[
        str | None,
        region_option("AWS region of the instance and the bucket (default: the configured one)."),
    ] = None,
    profile: Profile = None,
    ssh_user: Annotated[
        str,
        typer.Option(
            "--ssh-user",
            metavar="NAME",
            help="Login user of the image, who also runs the jobs.",
            envvar="SPAWN_SSH_USER",
            rich_help_panel=SSH,
        ),
    ] = "ec2-user",
    key_name: Annotated[
        str | None,
        option(
            "--key-name", "NAME", "EC2 key pair (default: one created on first use).", group=SSH
        ),
    ] = None,
    ssh_from: Annotated[
        str | None,
        option(
            "--ssh-from",
            "CIDR",
            "Network that may connect over SSH (default: this machine's public address).",
            "SPAWN_SSH_FROM",
            group=SSH,
        ),
    ] = None,
) -> None:
    """Launch an EC2 instance that runs a queue.

    The configuration is validated first. A missing bucket, key pair, security group or role is
    created on first use, with least privilege. Prints the instance ID to stdout. A launch that
    fails leaves nothing behind that costs money.

    Examples:
        spawn launch --instance-type m7i.large --batch-queue pipeline.json
        spawn launch --instance-type m7g.large --batch-queue pipeline.json --sync . --spot
        spawn launch --instance-type m7i.xlarge --resume pipeline-20260127
    """
    from typing import cast

    from spawn.cli import host
    from spawn.cli.launch import launch as launches
    from spawn.cli.launch.next_steps import print_next_steps, remember
    from spawn.cli.launch.preview import preview_lines
    from spawn.cli.launch.request import (
        LaunchRequest,
        check_prefix,
        check_queue_id,
        check_setup_script,
        check_sync_folder,
        read_environment,
        ttl_deadline,
    )
    from spawn.cli.sources.ec2 import region_or_default
    from spawn.cli.support.configuration import load_configuration
    from spawn.cli.support.stdout import print_flushed
    from spawn.store.aws import instance_request
    from spawn.store.aws import tags as tagging
    from spawn.store.aws.instance_request import InstanceRequest, check_request

    _check_flags(batch_queue, resume, queue_id, on_complete, needs_resume=retry_failed or force)
    if security_group is not None and not typed_on_command_line(context, "ssh_from"):
        ssh_from = None  # a default from the environment; the named group does not use it
    loaded = None if batch_queue is None else load_configuration(batch_queue)
    chosen = resume or queue_id or (loaded.config.queue_id if loaded else None)
    request = LaunchRequest(
        wanted=check_request(
            InstanceRequest(
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
                tags=tagging.parse_tags(tag or []),
                ssh_from=None if ssh_from is None else instance_request.parse_network(ssh_from),
            )
        ),
        config=b"" if loaded is None else loaded.data,
        parsed=None if loaded is None else loaded.config,
        queue_id=check_queue_id(chosen),
        resume=resume is not None,
        retry_failed=retry_failed,
        force=force,
        bucket=bucket,
        prefix=check_prefix(prefix or None),
        region=region_or_default(region),
        profile=profile,
        typed=typed_on_command_line(context, "bucket", "prefix"),
        environment=read_environment(env_file),
        sync=check_sync_folder(sync),
        setup=check_setup_script(setup),
        ttl_at=ttl_deadline(ttl, host.now()),
    )
    roots = host.local_roots()
    plan = launches.prepare(request, roots, host.now(), host.say)
    if dry_run:
        for line in preview_lines(launches.dry_run(plan, host.say)):
            print_flushed(line)
        return
    instance_id = launches.launch(plan, roots, host.say)
    print_flushed(instance_id)
    remember(roots, plan, instance_id)
    print_next_steps(plan, instance_id, host.say)


def _check_flags(
    batch_queue: Path | None,
    resume: str | None,
    queue_id: str | None,
    on_complete: str,
    *,
    needs_resume: bool,
) -> None:
    """Reject flags that exclude or require each other, before any file is read.

    Raises:
        InvalidArgument: The flags do not fit together.
    """
    from spawn.core.errors import InvalidArgument

    if (batch_queue is None) == (resume is None):
        raise InvalidArgument(
            "either --batch-queue FILE or --resume QUEUE-ID is required"
            if resume is None
            else "--resume excludes --batch-queue",
            why="" if resume is None else "the queue's configuration is in its log",
        )
    if resume is not None and queue_id is not None:
        raise InvalidArgument("--resume excludes --queue-id", why="a resumed queue keeps its id")
    if resume is None and needs_resume:
        raise InvalidArgument("--retry-failed and --force require --resume")
    if on_complete not in _ON_COMPLETE:
        raise InvalidArgument(
            f"--on-complete {on_complete} is invalid",
            hint=f"use one of {', '.join(_ON_COMPLETE)}",
        )
