"""`spawn queue logs`."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spawn.cli.sources.local import LocalQueue
    from spawn.cli.sources.output import Attempt

POLL_SECONDS = 0.5


def logs(
    queue_id: Annotated[
        str, typer.Argument(metavar="QUEUE-ID", help="A queue id, or `local`.", show_default=False)
    ],
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
) -> None:
    """Print what a job printed.

    Its stdout on stdout, its stderr on stderr, to the byte.
    """
    import sys
    import time

    from spawn.cli import bootstrap
    from spawn.cli.sources.output import Stream, attempts
    from spawn.core.config.names import nearest
    from spawn.core.errors import InvalidArgument

    roots = bootstrap.machine()
    with bootstrap.find(queue_id) as source:
        source.refresh()
        if job not in source.state.jobs:
            close = nearest(job, source.state.jobs)
            raise InvalidArgument(
                f"queue {source.queue_id} has no job '{job}'",
                hint=f"did you mean '{close}'?" if close else "",
            )

        def newest(over: str) -> "Attempt | None":
            found = attempts(source, roots, job)
            if attempt is None:
                return found[-1] if found else None
            chosen = [each for each in found if each.number == attempt]
            if not chosen and (over or not follow):
                there = ", ".join(str(each.number) for each in found) or "none"
                raise InvalidArgument(
                    f"job {job} has no attempt {attempt}", why=f"attempts that began: {there}"
                )
            return chosen[0] if chosen else None

        shown = 0
        while True:
            over = _over(source, job)
            here = newest(over)
            if here is not None and here.number > shown:
                if shown:
                    print(f"-- attempt {here.number} --", file=sys.stderr, flush=True)
                shown = here.number
                streams = [Stream(here, "stderr.log")]
                outs = [sys.stdout.buffer if stderr else sys.stderr.buffer]
                if not stderr:
                    streams.insert(0, Stream(here, "stdout.log"))
                    outs.insert(0, sys.stdout.buffer)
                while True:
                    ended = _ended(source, job, here.number)
                    for stream, out in zip(streams, outs, strict=True):
                        stream.copy_to(out)
                    if ended or not follow:
                        break
                    time.sleep(POLL_SECONDS)
                for stream in streams:
                    stream.close()
                if attempt is not None or not follow:
                    return
                continue
            if over or not follow:
                if not shown:
                    print(f"Job {job} has not run: it is {over or 'waiting'}", file=sys.stderr)
                return
            time.sleep(POLL_SECONDS)


def _ended(source: "LocalQueue", job_id: str, number: int) -> bool:
    """Whether an attempt is over, or nobody is there to tell."""
    alive = source.runner_alive()
    source.refresh()
    job = source.state.jobs[job_id]
    return job.attempt != number or job.state != "running" or not alive


def _over(source: "LocalQueue", job_id: str) -> str:
    """Why no further attempt of a job comes; empty while one may."""
    alive = source.runner_alive()
    source.refresh()
    state = source.state
    job = state.jobs[job_id]
    if job.state in ("completed", "failed", "blocked"):
        return job.state
    if state.state not in ("pending", "running"):
        return f"{job.state}, and the queue is {state.state}"
    return "" if alive else f"{job.state}, and nobody runs the queue"
