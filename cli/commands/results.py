"""`spawn queue results`."""

from pathlib import Path
from typing import Annotated

import typer

from spawn.cli.flags import Bucket, FromS3, Prefix, Profile, Region, where


def results(
    context: typer.Context,
    queue_id: Annotated[
        str, typer.Argument(metavar="QUEUE-ID", help="A queue id, or `local`.", show_default=False)
    ],
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
    job: Annotated[
        str | None,
        typer.Option("--job", metavar="JOB", help="Only this job's files.", show_default=False),
    ] = None,
    logs_only: Annotated[
        bool, typer.Option("--logs-only", help="Download logs only (no result files).")
    ] = False,
    no_logs: Annotated[
        bool, typer.Option("--no-logs", help="Download result files only (no logs).")
    ] = False,
    from_s3: FromS3 = False,
    bucket: Bucket = None,
    prefix: Prefix = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Download the results of a queue.

    What is there already and agrees is not fetched again. Of a job that runs again the logs of the
    attempt before come along. Exit code 1 when a file failed, or nothing is there yet; 3 for no
    such queue.
    """
    import sys
    import time

    from spawn.cli import bootstrap
    from spawn.cli.render.results import job_tree, size, took
    from spawn.cli.render.style import style_for
    from spawn.cli.render.text import printable
    from spawn.core.config.names import nearest
    from spawn.core.errors import InvalidArgument, SpawnError
    from spawn.store.results.fetch import Fetched, fetch

    if logs_only and no_logs:
        raise InvalidArgument("--logs-only and --no-logs exclude each other")
    asked = where(context, from_s3, bucket, prefix, region, profile)
    with bootstrap.find(queue_id, where=asked) as source:
        source.refresh()
        state, objects = source.state, source.objects()
    if job is not None and job not in state.jobs:
        close = nearest(job, state.jobs)
        raise InvalidArgument(
            f"queue {source.queue_id} has no job '{job}'",
            hint=f"did you mean '{close}'?" if close else "",
        )
    shown = f"./results/{source.queue_id}/" if output is None else f"{str(output).rstrip('/')}/"
    folder = Path(shown)
    if folder.exists() and not folder.is_dir():
        raise InvalidArgument(f"{shown} is not a folder", hint="--output names another")
    style = style_for(sys.stdout)
    print(f"Downloading results for queue: {source.queue_id}\n")
    print(f"Source: {objects.location}\nDestination: {shown}\n\nJobs:", flush=True)
    began = time.monotonic()
    fetched: list[tuple[str, Fetched]] = []
    waiting = []
    earlier = []
    for each in state.jobs.values():
        job_id = each.config.job_id
        if job not in (None, job_id):
            continue
        if each.outcome is None or not each.folder:
            before = source.attempts(job_id)[-2:-1] if each.attempt > 1 else []
            files = []
            if before and not no_logs:  # an attempt that has another after it left no results
                files = list(fetch(objects, each, folder / job_id, earlier=before[0].prefix))
            if not files:
                waiting.append(f"{job_id} ({each.state})")
                continue
            earlier.append(f"{job_id} (attempt {before[0].number})")
            fetched += [(job_id, file) for file in files]
            print("\n".join(job_tree(job_id, each.state, files, style)) + "\n", flush=True)
            continue
        files = list(fetch(objects, each, folder / job_id, logs=not no_logs, results=not logs_only))
        if not files:
            files = [Fetched(name="metadata.json", size=0, error="it is not in the object store")]
        fetched += [(job_id, file) for file in files]
        print("\n".join(job_tree(job_id, each.state, files, style)) + "\n", flush=True)
    seconds = time.monotonic() - began
    if not fetched:
        raise SpawnError(
            f"queue {source.queue_id} has nothing to download yet",
            why=f"no attempt has ended: {', '.join(waiting)}",
            hint=f"`spawn queue wait {source.queue_id}` waits for its end",
        )
    failed = [(job_id, file) for job_id, file in fetched if file.error]
    whole = sum(file.size for _, file in fetched if not (file.error or file.skipped))
    there = sum(1 for _, file in fetched if file.skipped)
    print(f"Total downloaded: {size(whole)}")
    print(f"Time: {took(seconds)}")
    if there:
        print(f"Already there: {there} file{'' if there == 1 else 's'}")
    if earlier:
        print(f"Of an earlier attempt, as another runs: {', '.join(earlier)}", file=sys.stderr)
    if waiting:
        print(f"Nothing yet of: {', '.join(waiting)}", file=sys.stderr)
    if failed:
        for job_id, file in failed:
            print(f"  {job_id}/{printable(file.name)}: {printable(file.error)}", file=sys.stderr)
        raise SpawnError(
            f"{len(failed)} of {len(fetched)} files could not be downloaded",
            hint="the same command again fetches what is missing",
        )
    print(f"\nResults saved to: {shown}")
