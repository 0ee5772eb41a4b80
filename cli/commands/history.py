"""`spawn queue history`."""

from typing import Annotated

import typer

from spawn.cli.flags import At, LocationFlags, QueueId
from spawn.cli.support.location_flags import with_location_flags


@with_location_flags
def history(
    queue_id: QueueId,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="Show only the events of this job.")
    ] = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print the events as logged, one JSON object per line."),
    ] = False,
    at: At = None,
    *,
    where: LocationFlags,
) -> None:
    """Show the events of a queue: when, what and why.

    One line per event, oldest first. The log is read from this machine, from the instance, or from
    S3.

    Examples:
        spawn queue history pipeline-20260127
        spawn queue history i-0123456789abcdef0 --job train
        spawn queue history local --at '2h ago' --json
    """
    import sys

    from spawn.cli.output.history import line
    from spawn.cli.output.style import style_for
    from spawn.cli.support.jobs import expect_job
    from spawn.cli.support.open_at import open_queue_at
    from spawn.core.domain.codec import decode

    style = style_for(sys.stdout)
    with open_queue_at(queue_id, at, where) as (source, _):
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
