"""`spawn queue status`."""

from typing import Annotated

import typer

from spawn.cli.flags import At, Json, LocationFlags
from spawn.cli.support.location_flags import with_location_flags


@with_location_flags
def status(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="EC2 instance ID, queue ID, or `local` for this machine's current queue.",
            show_default=False,
        ),
    ],
    json: Json = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Continuously update status.")
    ] = False,
    refresh: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help="Refresh interval for --watch, at least 1s.",
            envvar="SPAWN_REFRESH",
        ),
    ] = "10s",
    at: At = None,
    *,
    where: LocationFlags,
) -> None:
    """Check queue execution status.

    The queue is read from this machine, from an instance over SSH, or from S3. Exit code 0
    whatever the status is; 3 if the queue does not exist.

    Examples:
        spawn queue status i-0123456789abcdef0
        spawn queue status i-0123456789abcdef0 --watch --refresh 5s
        spawn queue status pipeline-20260127 --json
    """
    from spawn.cli import bootstrap
    from spawn.cli.support.print_status import print_status
    from spawn.cli.support.times import parse_refresh
    from spawn.core.errors import InvalidArgument

    seconds = parse_refresh(refresh)
    if not watch:
        print_status(target, where, at=at, as_json=json)
        return
    if at is not None:
        raise InvalidArgument("--watch and --at exclude each other")
    from spawn.cli.support.watch import watch as watch_

    with bootstrap.find_queue(target, where=where) as source:
        watch_(source, seconds, as_json=json)
