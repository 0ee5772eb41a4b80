"""The lines that a command prints when its queue has ended."""

from collections.abc import Iterator

from spawn.cli.output.status import exit_text
from spawn.cli.output.style import GLYPHS, Style
from spawn.core.reports.model import Report
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.text import printable


def summary(report: Report, style: Style) -> Iterator[str]:
    """The lines that say how a queue ended, and what to do next."""
    done = report.counts["completed"]
    reason = f" ({printable(report.reason)})" if report.reason else ""
    status = style(report.status, report.status)
    yield (
        f"Queue {report.queue_id} {status}{reason}: {done} of {report.counts['total']} jobs "
        f"completed in {duration(report.elapsed)}"
    )
    for job in report.jobs:
        if job.status == "failed":
            glyph = style("failed", GLYPHS["failed"])
            yield f"  {glyph} {job.job_id}: exit {exit_text(job)}, {printable(job.why)}"
            if job.log_file:
                # A report from an instance has the instance's path.
                there = f" on {report.instance_id}" if report.target and not report.origin else ""
                yield f"    Log: {job.log_file}{there}"
    for warning in report.warnings:
        yield style("warning", f"Warning: {printable(warning)}")
    yield f"Results Location: {report.results_location}"
    if report.status == "interrupted":
        flag = " --from-s3" if report.origin is not None and not report.target_can_resume else ""
        yield f"Resume it with: spawn queue resume {report.target or report.queue_id}{flag}"
    else:
        yield f"Details: spawn queue status {report.target or report.queue_id}"
