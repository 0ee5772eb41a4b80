"""`spawn queue report`."""

import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from spawn.cli.flags import At, LocationFlags, QueueId
from spawn.cli.output.page.page import GENERATOR
from spawn.cli.support.location_flags import with_location_flags
from spawn.core.errors import InvalidArgument, SpawnError


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

    from spawn.cli import host
    from spawn.cli.output.page.page import page
    from spawn.cli.support.open_at import expect_events, open_queue_at
    from spawn.cli.support.report_data import collect_sheet

    with open_queue_at(queue_id, at, where) as (
        source,
        then,
    ):
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


_JOB_FILES = ("stdout.log", "stderr.log", "results")
_HEAD_BYTES = 4096


def check_report_path(path: Path, queue_id: str) -> Path:
    """Check that a report may be written to a path; a folder gets `QUEUE-ID-report.html` in it.

    Raises:
        InvalidArgument: The parent folder does not exist, or the path is another kind of file.
    """
    if path.is_dir():
        path = path / f"{queue_id}-report.html"
    if not path.parent.is_dir():
        raise InvalidArgument(
            f"{path} cannot be written",
            why=f"there is no folder {path.parent}",
            hint="create it first, or choose another with -o",
        )
    if _is_regular(path) and not _is_report(path):
        raise InvalidArgument(
            f"{path} already exists and is not a report",
            hint="choose another file with -o, or remove it first",
        )
    return path


def find_job_files(path: Path, job_ids: Iterable[str]) -> frozenset[str]:
    """Find the jobs' files next to a report, laid out as `results` does: `JOB/stdout.log`."""
    folder = path.parent
    here = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    return frozenset(
        f"{job_id}/{name}{'/' if name == 'results' else ''}"
        for job_id in job_ids
        if job_id in here
        for name in _JOB_FILES
        if (folder / job_id / name).exists()
    )


def write_report(path: Path, text: str) -> None:
    """Write a report atomically; a pipe or a device is written directly.

    Raises:
        SpawnError: The file cannot be written.
    """
    data = text.encode("utf-8", "replace")
    try:
        if path.exists() and not _is_regular(path):
            path.write_bytes(data)
            return
        target = path.resolve()  # keeps a symbolic link
        part = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
        try:
            part.write_bytes(data)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SpawnError(f"{path} cannot be written", why=error.strerror or str(error)) from error


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


def _is_report(path: Path) -> bool:
    """Whether a file is an earlier report, or empty."""
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    return not head or f'content="{GENERATOR}"'.encode() in head
