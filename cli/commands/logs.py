"""`spawn queue logs`."""

from typing import Annotated

import typer

from spawn.cli.flags import LocationFlags, QueueId
from spawn.cli.support.location_flags import with_location_flags


@with_location_flags
def logs(
    queue_id: QueueId,
    job: Annotated[str, typer.Argument(metavar="JOB", help="Job ID.", show_default=False)],
    attempt: Annotated[
        int | None,
        typer.Option(
            "--attempt",
            metavar="N",
            min=1,
            help="Print attempt N (default: the newest).",
            show_default=False,
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue until the job ends.")
    ] = False,
    stderr: Annotated[bool, typer.Option("--stderr", help="Print only stderr, to stdout.")] = False,
    *,
    where: LocationFlags,
) -> None:
    """Print the output of a job.

    The job's stdout goes to stdout and its stderr to stderr, byte for byte. Output that is neither
    on this machine nor on a reachable instance comes from S3, which has all of an attempt that has
    ended, and a copy so far of a running one.

    Examples:
        spawn queue logs pipeline-20260127 train
        spawn queue logs i-0123456789abcdef0 train --follow
        spawn queue logs local train --attempt 1 --stderr
    """
    import sys

    from spawn.cli import bootstrap
    from spawn.cli.support.job_output import OutputSelection, print_output
    from spawn.cli.support.jobs import expect_job

    with bootstrap.find_queue(queue_id, where=where) as source:
        source.refresh()
        expect_job(job, source.state.jobs, source.queue_id)
        outs = {"stderr.log": sys.stdout.buffer if stderr else sys.stderr.buffer}
        if not stderr:
            outs = {"stdout.log": sys.stdout.buffer, **outs}
        print_output(source, OutputSelection(job_id=job, attempt=attempt, follow=follow), outs)
