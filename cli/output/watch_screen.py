"""A report on a screen of limited height: the most urgent jobs, and a count of the rest."""

from datetime import tzinfo

from spawn.cli.output.status import (
    Columns,
    counts,
    foot,
    format_time,
    job_rows,
    narrow,
    render,
    runner_lines,
    widths,
)
from spawn.cli.output.style import PLAIN, Style
from spawn.core.reports.model import JobReport, Report
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.text import printable

_URGENCY = {"running": 0, "failed": 1, "retrying": 2, "pending": 3, "blocked": 4, "completed": 5}
_OUTPUT = 4
_LEAST_ROWS = 3
_LEAST_NAME = 16
"""Minimum width of the job id column, which otherwise gets a third of the terminal."""


def screen(
    report: Report, zone: tzinfo | None, style: Style, *, width: int, height: int
) -> list[str]:
    """Return a report in at most `height` lines; the terminal crops lines wider than `width`.

    The output is that of `status` if it fits. Otherwise running and failed jobs come first, then
    those that will start next, then the most recently completed.
    """
    whole = list(render(report, zone, style))
    if len(whole) <= height and all(len(line) <= width for line in render(report, zone, PLAIN)):
        return whole
    top = [*_head(report, zone, style), _bar(report, style, width), counts(report), ""]
    bottom = [line for block in foot(report, zone, style) for line in ("", *block)]
    output = _output(report, style)
    room = height - len(top) - len(bottom)
    if room - len(output) < _LEAST_ROWS:
        output = []
    if room < _LEAST_ROWS:
        bottom = []
        room = height - len(top)
    rows = _rows(report, max(_LEAST_ROWS, room - len(output)), width, zone, style)
    return [*top, *rows, *output, *bottom][:height]


def _head(report: Report, zone: tzinfo | None, style: Style) -> list[str]:
    """Return the content of `status.head` in two lines, and any warnings."""
    name = f" ({printable(report.queue_name)})" if report.queue_name else ""
    reason = f" ({printable(report.reason)})" if report.reason else ""
    started = f"   Started: {format_time(report.started_at, zone)}" if report.started_at else ""
    return [
        f"Queue: {style('bold', report.queue_id)}{name}   Instance: {report.instance_id}",
        f"Status: {style(report.status, report.status)}{reason}   "
        f"Elapsed: {duration(report.elapsed)}{started}",
        *runner_lines(report, zone, style),
    ]


def _rows(report: Report, room: int, width: int, zone: tzinfo | None, style: Style) -> list[str]:
    columns = _columns(report, width, zone)
    drawn = {job.job_id: list(job_rows(job, report, columns, zone, style)) for job in report.jobs}
    if sum(map(len, drawn.values())) <= room:
        return [row for job in report.jobs for row in drawn[job.job_id]]
    chosen: set[str] = set()
    left = room - 1
    for job in sorted(report.jobs, key=lambda job: _rank(job)):
        rows = drawn[job.job_id]
        if len(rows) > left:
            break
        chosen.add(job.job_id)
        left -= len(rows)
    shown = [row for job in report.jobs if job.job_id in chosen for row in drawn[job.job_id]]
    hidden: dict[str, int] = {}
    for job in report.jobs:
        if job.job_id not in chosen:
            hidden[job.status] = hidden.get(job.status, 0) + 1
    more = ", ".join(f"{number} {status}" for status, number in hidden.items())
    return [*shown, style("dim", f"  … {more}")]


def _columns(report: Report, width: int, zone: tzinfo | None) -> Columns:
    """Return the columns of `status` if they fit; else the narrowest that show the content."""
    columns = widths(report, zone, least=0)
    ids = min(columns.ids, max(_LEAST_NAME, width // 3) - 1)
    if ids == columns.ids and all(
        len(next(job_rows(job, report, columns, zone, PLAIN))) <= width for job in report.jobs
    ):
        return columns
    return narrow(report, zone, ids=ids, width=width)


def _rank(job: JobReport) -> tuple[int, float]:
    newest_first = -(job.ended_at.timestamp()) if job.ended_at else 0.0
    return _URGENCY[job.status], newest_first


def _bar(report: Report, style: Style, width: int) -> str:
    total = max(1, report.counts["total"])
    size = max(10, min(50, width - 20))
    done = size * report.counts["completed"] // total
    failed = min(size - done, -(-size * report.counts["failed"] // total))
    rest = size - done - failed
    percent = 100 * report.counts["completed"] // total
    bar = style("completed", "━" * done) + style("failed", "━" * failed) + style("dim", "━" * rest)
    return f"{bar} {percent}%"


def _output(report: Report, style: Style) -> list[str]:
    running = [job for job in report.jobs if job.status == "running" and job.recent]
    if not running:
        return []
    job = max(running, key=lambda job: job.started_at.timestamp() if job.started_at else 0)
    lines = [style("dim", f"    {printable(line)}") for line in job.recent[-_OUTPUT:]]
    return ["", f"  Recent Output ({job.job_id}):", *lines]
