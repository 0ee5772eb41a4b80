"""`spawn queue list`."""

from typing import TYPE_CHECKING, Annotated

import typer

from spawn.cli.flags import (
    S3,
    Bucket,
    Identity,
    Json,
    LocationFlags,
    Profile,
    Quiet,
    Region,
    SshUser,
    option,
    typed_on_command_line,
)

if TYPE_CHECKING:
    from spawn.cli.sources.listing import QueueEntry


def list_queues(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="[TARGET]",
            help="EC2 instance ID, or `local` for this machine (default).",
            show_default=False,
        ),
    ] = "local",
    json: Json = False,
    quiet: Quiet = False,
    from_s3: Annotated[
        bool,
        typer.Option(
            "--from-s3",
            help="List the queues of a bucket; --bucket, --prefix and --region imply it.",
            rich_help_panel=S3,
        ),
    ] = False,
    bucket: Bucket = None,
    prefix: Annotated[
        str | None,
        option(
            "--prefix",
            "PREFIX",
            "List the queues below this prefix of the bucket, or the queue at it.",
            group=S3,
        ),
    ] = None,
    region: Region = None,
    profile: Profile = None,
    ssh_user: SshUser = None,
    identity: Identity = None,
) -> None:
    """List the queues of this machine, an instance or a bucket, newest first.

    Examples:
        spawn queue list
        spawn queue list i-0123456789abcdef0
        spawn queue list --bucket spawn-results-us-east-1 --json
    """
    from spawn.cli import host

    if target != "local":
        if from_s3 or typed_on_command_line(context, "bucket", "prefix"):
            raise _conflict(target)
        where = LocationFlags(region=region, profile=profile, ssh_user=ssh_user, identity=identity)
        _list_instance(target, where, json=json, quiet=quiet)
        return
    if from_s3 or typed_on_command_line(context, "bucket", "prefix", "region"):
        _list_bucket(
            LocationFlags(bucket=bucket, prefix=prefix, region=region, profile=profile),
            json=json,
            quiet=quiet,
        )
        return
    from spawn.cli.sources.listing import list_local_queues
    from spawn.store import queues

    here = host.local_roots()
    if quiet:
        for name in queues.list_queue_ids(here):
            print(name)
        return
    entries = list(list_local_queues(here, host.now()))
    _print_entries(entries, json=json)
    if not (entries or json):
        host.say("No queues on this machine yet; `spawn queue run FILE` runs one")


def _conflict(target: str) -> Exception:
    from spawn.core.errors import InvalidArgument

    return InvalidArgument(
        f"cannot list the queues of both {target} and a bucket",
        hint=f"`spawn queue status {target} --from-s3` reads the instance's queue from S3",
    )


def _list_instance(target: str, where: LocationFlags, *, json: bool, quiet: bool) -> None:
    import sys

    from spawn.cli import host
    from spawn.cli.output.queue_list import remote_as_json, remote_table
    from spawn.cli.output.style import style_for
    from spawn.cli.sources.instance_errors import no_instance
    from spawn.cli.sources.instance_queues import list_instance_queues
    from spawn.core.errors import InvalidArgument
    from spawn.core.values.ids import is_instance_id, is_mistyped_instance_id

    if is_mistyped_instance_id(target) and not is_instance_id(target):
        raise no_instance(target)
    if not is_instance_id(target):
        raise InvalidArgument(
            f"'{target}' is neither an instance id nor `local`",
            hint=f"`spawn queue status {target}` shows a queue; --bucket NAME lists the queues of "
            "a bucket",
        )
    found = list_instance_queues(target, host.local_roots(), where)
    if quiet:
        for each in found:
            print(each.queue_id)
    elif json:
        print(remote_as_json(found))
    elif found:
        print("\n".join(remote_table(found, style_for(sys.stdout))))
    if not (found or json):
        host.say(f"No queues on {target} yet")


def _list_bucket(where: LocationFlags, *, json: bool, quiet: bool) -> None:
    from spawn.cli import host
    from spawn.cli.sources import bucket
    from spawn.cli.sources.replica_messages import add_error_hints

    source = bucket.Bucket(where)
    with add_error_hints(source):
        found = source.queues()
    if quiet:
        for seen in found:
            print(seen.queue_id)
    else:
        _print_entries(source.entries(host.local_roots(), found, host.now), json=json)
    if not found:
        host.say(f"No queues at {source.location}")
    if source.others:
        shown = ", ".join(source.others[:3])
        more = f" and {len(source.others) - 3} more" if len(source.others) > 3 else ""
        host.say(f"No queue directly in {shown}{more}; --prefix PREFIX looks below a prefix")


def _print_entries(entries: "list[QueueEntry]", *, json: bool) -> None:
    import sys

    from spawn.cli.output.queue_list import as_json, table
    from spawn.cli.output.style import style_for

    if json:
        print(as_json(entries))
    elif entries:
        print("\n".join(table(entries, style_for(sys.stdout))))
