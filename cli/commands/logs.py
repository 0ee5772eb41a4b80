"""`spawn queue logs`."""

from typing import Annotated

import typer

from spawn.cli.flags import QueueId, Where
from spawn.cli.located import located


@located
def logs(
    queue_id: QueueId,
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job's id.", show_default=False)],
    attempt: Annotated[
        int | None,
        typer.Option(
            "--attempt", metavar="N", min=1, help="Instead of the newest.", show_default=False
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
    stderr: Annotated[bool, typer.Option("--stderr", help="Only its stderr, on stdout.")] = False,
    *,
    where: Where,
) -> None:
    """Print what a job printed.

    Its stdout on stdout, its stderr on stderr, to the byte. Of an instance that answers: as it is
    there. Of any other machine what is in S3: all of it once its attempt has ended; while it runs,
    what was copied so far.
    """
    import sys

    from spawn.cli import bootstrap
    from spawn.cli.jobs import expect_job
    from spawn.cli.printing import Wanted, print_output

    with bootstrap.find(queue_id, where=where) as source:
        source.refresh()
        expect_job(job, source.state.jobs, source.queue_id)
        outs = {"stderr.log": sys.stdout.buffer if stderr else sys.stderr.buffer}
        if not stderr:
            outs = {"stdout.log": sys.stdout.buffer, **outs}
        print_output(source, Wanted(job_id=job, attempt=attempt, follow=follow), outs)
