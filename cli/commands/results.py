"""`spawn queue results`."""

from pathlib import Path
from typing import Annotated

import typer

from spawn.cli.flags import QueueId, Where, option
from spawn.cli.located import located


@located
def results(
    queue_id: QueueId,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where to download to. Default: ./results/QUEUE-ID/",
            show_default=False,
        ),
    ] = None,
    job: Annotated[str | None, option("--job", "JOB", "Only this job's files.")] = None,
    logs_only: Annotated[
        bool, typer.Option("--logs-only", help="Download logs only (no result files).")
    ] = False,
    no_logs: Annotated[
        bool, typer.Option("--no-logs", help="Download result files only (no logs).")
    ] = False,
    *,
    where: Where,
) -> None:
    """Download the results of a queue.

    What is there already and agrees is not fetched again. Of a job that runs again the logs of the
    attempt before come along. Exit code 1 when a file failed, or nothing is there yet; 3 for no
    such queue.
    """
    from spawn.cli import bootstrap
    from spawn.cli.download import before, download
    from spawn.cli.jobs import expect_job
    from spawn.core.errors import InvalidArgument
    from spawn.store.results.items import Choice

    if logs_only and no_logs:
        raise InvalidArgument("--logs-only and --no-logs exclude each other")
    with bootstrap.find(queue_id, where=where) as source:
        source.refresh()
        state = source.state
        if job is not None:
            expect_job(job, state.jobs, source.queue_id)
        objects = source.objects()
        wanted = [each for each in state.jobs.values() if job in (None, each.config.job_id)]
        again = {each.config.job_id for each in wanted if each.outcome is None and each.attempt > 1}
        earlier = before(source.rows(), again) if again and not no_logs else {}
    download(
        source.queue_id,
        objects,
        [
            Choice(
                job=each,
                logs=not no_logs,
                results=not logs_only,
                earlier=earlier.get(each.config.job_id, ""),
            )
            for each in wanted
        ],
        output,
        asked=f"{queue_id} --queue {where.queue}" if where.queue else queue_id,
    )
