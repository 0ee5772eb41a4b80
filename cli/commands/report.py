"""`spawn queue report`."""

from pathlib import Path
from typing import Annotated

import typer

from spawn.cli.flags import At, QueueId, Where
from spawn.cli.located import located


@located
def report(
    queue_id: QueueId,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write it, `-` for stdout. Default: ./QUEUE-ID-report.html",
            show_default=False,
        ),
    ] = None,
    at: At = None,
    *,
    where: Where,
) -> None:
    """Write a queue as one HTML page that needs no network.

    Timeline, critical path, jobs, failures with their last lines, audit. In the folder that
    `results` downloads to, its links lead to the files there. It shows commands and output: look at
    it before you send it on.
    """
    import sys

    from spawn.cli import bootstrap
    from spawn.cli.account import expect_begun, opened
    from spawn.cli.beside import beside, checked, write
    from spawn.cli.render.page.page import page
    from spawn.cli.sheet import sheet

    with opened(queue_id, at, where) as (
        source,
        then,
    ):
        expect_begun(source)
        now = then or bootstrap.now()
        if output == "-":
            text = page(sheet(source, now, past=then is not None))
        else:
            target = checked(Path(output or f"{source.queue_id}-report.html"), source.queue_id)
            there = beside(target, source.state.jobs)
            text = page(sheet(source, now, past=then is not None, there=there))
    if output == "-":
        sys.stdout.buffer.write(text.encode())  # whatever the terminal's encoding is
    else:
        write(target, text)
        print(f"Report written to: {target}")
