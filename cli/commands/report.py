"""`spawn queue report`."""

from typing import Annotated

import typer

from spawn.cli.flags import At, LocationFlags, QueueId
from spawn.cli.support.location_flags import with_location_flags


@with_location_flags
def report(
    queue_id: QueueId,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write, or `-` for stdout (default: ./QUEUE-ID-report.html).",
            show_default=False,
        ),
    ] = None,
    at: At = None,
    *,
    where: LocationFlags,
) -> None:
    """Write an HTML report of a queue.

    The report is one file that needs no network, with the timeline, critical path, jobs, failures
    with their last lines, and events. In the folder that `results` downloads to, it links to the
    files there. It contains commands and output: review it before you share it.

    Examples:
        spawn queue report pipeline-20260127
        spawn queue report i-0123456789abcdef0 -o report.html
        spawn queue report local --at '2h ago' -o - > report.html
    """
    import sys
    from pathlib import Path

    from spawn.cli import host
    from spawn.cli.output.page.page import page
    from spawn.cli.support.open_at import expect_events, open_queue_at
    from spawn.cli.support.report_data import collect_sheet
    from spawn.cli.support.report_file import check_report_path, find_job_files, write_report

    with open_queue_at(queue_id, at, where) as (source, then):
        expect_events(source)
        now = then or host.now()
        if output == "-":
            text = page(collect_sheet(source, now, past=then is not None))
        else:
            path = Path(output or f"{source.queue_id}-report.html")
            target = check_report_path(path, source.queue_id)
            there = find_job_files(target, source.state.jobs)
            text = page(collect_sheet(source, now, past=then is not None, there=there))
    if output == "-":
        sys.stdout.buffer.write(text.encode())  # UTF-8, whatever the terminal's encoding
    else:
        write_report(target, text)
        print(f"Report written to: {target}")
