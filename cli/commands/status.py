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
    from spawn.cli import bootstrap, host
    from spawn.cli.support.times import parse_moment, parse_refresh
    from spawn.core.errors import InvalidArgument

    seconds = parse_refresh(refresh)
    if watch and at is not None:
        raise InvalidArgument("--watch and --at exclude each other")
    with bootstrap.find_queue(target, where=where) as source:
        if watch:
            from spawn.cli.support.watch import watch as watch_

            watch_(source, seconds, as_json=json)
            return
        from spawn.core.values.timestamps import format_timestamp

        then = None if at is None else parse_moment(at, host.now())
        source.refresh(until=None if then is None else format_timestamp(then))
        report = source.report(then or host.now(), past=then is not None)
    if json:
        from spawn.cli.output.as_json import pretty

        print(pretty(report))
    else:
        import sys

        from spawn.cli.output.status import render
        from spawn.cli.output.style import style_for

        print("\n".join(render(report, None, style_for(sys.stdout))))
