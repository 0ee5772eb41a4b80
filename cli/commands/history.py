"""`spawn queue history`."""

from typing import Annotated

import typer


def history(
    queue_id: Annotated[
        str, typer.Argument(metavar="QUEUE-ID", help="A queue id, or `local`.", show_default=False)
    ],
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="Only events of this job.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the events as the log holds them, a line each.")
    ] = False,
) -> None:
    """Show the audit trail: when, what, why.

    A line an event, oldest first.
    """
    import sys

    from spawn.cli import bootstrap
    from spawn.cli.render.history import line
    from spawn.cli.render.style import style_for
    from spawn.core.codec import decode
    from spawn.core.config.names import nearest
    from spawn.core.errors import InvalidArgument
    from spawn.store.log import read

    style = style_for(sys.stdout)
    with bootstrap.find(queue_id) as source:
        source.refresh()
        if job is not None and job not in source.state.jobs:
            close = nearest(job, source.state.jobs)
            raise InvalidArgument(
                f"queue {source.queue_id} has no job '{job}'",
                hint=f"did you mean '{close}'?" if close else "",
            )
        with read.opened(source.paths.events) as connection:
            for _, type_, raw, _ in read.rows(connection):
                event = decode(raw, type_)
                if job is not None and (event is None or event.job_id != job):
                    continue
                if json:
                    print(raw.decode())
                elif event is not None:
                    print(line(event, None, style))
