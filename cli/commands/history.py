"""`spawn queue history`."""

from typing import Annotated

import typer

from spawn.cli.flags import At, QueueId, Where
from spawn.cli.located import located


@located
def history(
    queue_id: QueueId,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="Only events of this job.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the events as the log holds them, a line each.")
    ] = False,
    at: At = None,
    *,
    where: Where,
) -> None:
    """Show the audit trail: when, what, why.

    A line an event, oldest first: of this machine's own log, else of the one in S3.
    """
    import sys

    from spawn.cli.account import opened
    from spawn.cli.jobs import expect_job
    from spawn.cli.render.history import line
    from spawn.cli.render.style import style_for
    from spawn.core.codec import decode

    style = style_for(sys.stdout)
    with opened(queue_id, at, where) as (source, _):
        if job is not None:
            expect_job(job, source.state.jobs, source.queue_id)
        for seq, type_, raw, _ in source.rows():
            if seq > source.seq:
                break
            event = decode(raw, type_)
            if job is not None and (event is None or event.job_id != job):
                continue
            if json:
                print(raw.decode())
            elif event is not None:
                print(line(event, None, style))
