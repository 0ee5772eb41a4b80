"""`spawn list`."""

from enum import StrEnum
from typing import Annotated

import typer

from spawn.cli.flags import Profile, Quiet, region_option


class Format(StrEnum):
    """Output format of `spawn list`."""

    TABLE = "table"
    JSON = "json"


def list_instances(
    quiet: Quiet = False,
    form: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
    over: Annotated[
        bool, typer.Option("--all", "-a", help="Include terminated instances.")
    ] = False,
    region: Annotated[
        str | None, region_option("AWS region to list (default: the configured one).")
    ] = None,
    profile: Profile = None,
) -> None:
    """List the instances that run queues, newest first.

    The list has the instances of one region that `spawn launch` has tagged with a queue.

    Examples:
        spawn list
        spawn list --quiet | head -1
        spawn list --region eu-west-1 --all --format json
    """
    from spawn.cli import host
    from spawn.cli.sources.ec2 import region_or_default
    from spawn.cli.sources.instance_queue_location import TAG_QUEUE
    from spawn.store.aws.fleet import list_instances

    found = list_instances(TAG_QUEUE, region_or_default(region), profile, over=over)
    instances = found.instances
    if quiet:
        for each in instances:
            print(each.instance_id)
    elif form is Format.JSON:
        from spawn.cli.output.instance_list import as_json

        print(as_json(instances))
    elif instances:
        import sys

        from spawn.cli.output.instance_list import table, terminal_width
        from spawn.cli.output.style import style_for

        host.say(f"Instances in {found.region}:")
        width = terminal_width(sys.stdout)
        print("\n".join(table(instances, host.now(), style_for(sys.stdout), width)))
    if not instances:
        live = "" if over else " that is not terminated"
        host.say(
            f"No instance with a queue{live} in {found.region}: `spawn launch` starts one; "
            f"--region selects another region{'' if over else ', --all includes terminated ones'}"
        )
