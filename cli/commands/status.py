"""`spawn queue status`."""

from typing import Annotated

import typer

from spawn.cli.flags import At, Json, Where
from spawn.cli.located import located


@located
def status(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="An instance id, `local`, or a queue id.", show_default=False
        ),
    ],
    json: Json = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Continuously update status.")
    ] = False,
    refresh: Annotated[
        str,
        typer.Option(help="Refresh interval for --watch, at least 1s.", envvar="SPAWN_REFRESH"),
    ] = "10s",
    at: At = None,
    *,
    where: Where,
) -> None:
    """Check queue execution status.

    Replayed from the queue's event log: this machine's own, an instance's over SSH, or the one in
    S3. Exit code 0 whatever the status is; 3 for no such queue.
    """
    from spawn.cli import bootstrap
    from spawn.cli.times import interval, moment
    from spawn.core.errors import InvalidArgument

    seconds = interval(refresh)
    if watch and at is not None:
        raise InvalidArgument("--watch and --at exclude each other")
    with bootstrap.find(target, where=where) as source:
        if watch:
            from spawn.cli.watch import watch as watch_

            watch_(source, seconds, as_json=json)
            return
        from spawn.core.moments import stamp

        then = None if at is None else moment(at, bootstrap.now())
        source.refresh(until=None if then is None else stamp(then))
        report = source.report(then or bootstrap.now(), past=then is not None)
    if json:
        from spawn.cli.render.as_json import pretty

        print(pretty(report))
    else:
        import sys

        from spawn.cli.render.status import render
        from spawn.cli.render.style import style_for

        print("\n".join(render(report, None, style_for(sys.stdout))))
