"""Print the status of a queue once."""

import sys
from typing import TYPE_CHECKING

from spawn.cli import bootstrap, host

if TYPE_CHECKING:
    from spawn.cli.flags import LocationFlags


def print_status(
    target: str,
    where: "LocationFlags | None" = None,
    *,
    at: str | None = None,
    as_json: bool = False,
) -> None:
    """Find a queue and print its status.

    Args:
        where: The location flags; None: none is set.
        at: The value of `--at`; None for now.

    Raises:
        InvalidArgument: The target or the time is invalid.
        QueueNotFound: The queue does not exist, or did not exist at that moment.
    """
    with bootstrap.find_queue(target, where=where) as source:
        if at is None:
            source.refresh()
            report = source.report(host.now())
        else:
            from spawn.cli.support.times import parse_moment
            from spawn.core.values.timestamps import format_timestamp

            then = parse_moment(at, host.now())
            source.refresh(until=format_timestamp(then))
            report = source.report(then, past=True)
    if as_json:
        from spawn.cli.output.as_json import pretty

        print(pretty(report))
    else:
        from spawn.cli.output.status import render
        from spawn.cli.output.style import style_for

        print("\n".join(render(report, None, style_for(sys.stdout))))
