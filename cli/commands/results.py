"""`spawn queue results`."""

from pathlib import Path
from typing import Annotated

import typer

from spawn.cli.flags import LocationFlags, QueueId, option
from spawn.cli.support.location_flags import with_location_flags


@with_location_flags
def results(
    queue_id: QueueId,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Local folder to download to (default: ./results/QUEUE-ID/).",
            show_default=False,
        ),
    ] = None,
    job: Annotated[str | None, option("--job", "JOB", "Download only this job's files.")] = None,
    logs_only: Annotated[
        bool, typer.Option("--logs-only", help="Download logs only (no result files).")
    ] = False,
    no_logs: Annotated[
        bool, typer.Option("--no-logs", help="Download result files only (no logs).")
    ] = False,
    *,
    where: LocationFlags,
) -> None:
    """Download the results and logs of a queue.

    Files that are already there and match are skipped. For a job that is running again, the logs of
    its previous attempt are downloaded too. Exit code 1 if a file failed or there is nothing to
    download yet; 3 if the queue does not exist.

    Examples:
        spawn queue results pipeline-20260127
        spawn queue results i-0123456789abcdef0 --output ./my-results/
        spawn queue results local --job train --logs-only
    """
    from spawn.cli import bootstrap
    from spawn.cli.support.download import download, previous_attempts
    from spawn.cli.support.jobs import expect_job
    from spawn.core.errors import InvalidArgument
    from spawn.store.results.attempt_files import DownloadChoice

    if logs_only and no_logs:
        raise InvalidArgument("--logs-only and --no-logs exclude each other")
    with bootstrap.find_queue(queue_id, where=where) as source:
        source.refresh()
        state = source.state
        if job is not None:
            expect_job(job, state.jobs, source.queue_id)
        objects = source.objects()
        wanted = [each for each in state.jobs.values() if job in (None, each.config.job_id)]
        again = {each.config.job_id for each in wanted if each.outcome is None and each.attempt > 1}
        earlier = previous_attempts(source.rows(), again) if again and not no_logs else {}
    download(
        source.queue_id,
        objects,
        [
            DownloadChoice(
                job=each,
                logs=not no_logs,
                results=not logs_only,
                earlier=earlier.get(each.config.job_id, ""),
            )
            for each in wanted
        ],
        output,
        target=f"{queue_id} --queue {where.queue}" if where.queue else queue_id,
    )
