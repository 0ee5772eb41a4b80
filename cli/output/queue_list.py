"""The list of queues, one line each, and as JSON."""

from collections.abc import Iterator, Sequence

import msgspec

from spawn.cli.output.status import format_time
from spawn.cli.output.style import Style
from spawn.cli.sources.listing import QueueEntry
from spawn.core.reports.as_json import as_json as report_json
from spawn.core.reports.as_json import trouble
from spawn.core.reports.model import Report
from spawn.core.reports.why.advice import join_ids
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.text import printable
from spawn.store.feed.answers import QueueSummary


def table(entries: Sequence[QueueEntry], style: Style) -> Iterator[str]:
    """Yield the lines of a table of queues."""
    width = max(len("QUEUE"), *(len(entry.queue_id) for entry in entries))
    yield style(
        "bold", f"{'QUEUE':<{width}}  {'STATUS':<11}  {'JOBS':<12}  {'ELAPSED':<9}  STARTED"
    )
    for entry in entries:
        report = entry.report
        if report is None:
            error = printable(entry.error)
            yield f"{entry.queue_id:<{width}}  {style('failed', 'unreadable')}   {error}"
            continue
        done = f"{report.counts['completed']}/{report.counts['total']} done"
        started = format_time(report.started_at or report.submitted_at, None)
        state = style(report.status, f"{report.status:<11}")
        elapsed = duration(report.elapsed)
        yield (
            f"{entry.queue_id:<{width}}  {state}  {done:<12}  {elapsed:<9}  {started}"
            f"{_flags(report)}"
        )


def _flags(report: Report) -> str:
    """Return what needs attention in a queue, appended to its line."""
    if report.troubles:
        return f"  (trouble: {printable(report.troubles[0].what)})"
    if report.lost_events:
        return "  (log shortened)"
    if report.runner_alive is not False or report.status != "running":
        return ""
    over = [job.job_id for job in report.jobs if job.unlogged_end]
    unnoticed = f"; {join_ids(over)} ended, not logged yet" if over else ""
    return f"  (no runner{unnoticed})"


def as_json(entries: Sequence[QueueEntry]) -> str:
    """Return the queues as a JSON array, without their jobs."""
    found: list[dict[str, object]] = []
    for entry in entries:
        if entry.report is None:
            unread: dict[str, object] = {
                "queue_id": entry.queue_id,
                "status": "unreadable",
                "error": entry.error,
            }
            found.append(unread | ({"location": entry.location} if entry.location else {}))
            continue
        shown = report_json(entry.report, None)
        del shown["job_details"]
        found.append(shown)
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def remote_table(queues: Sequence[QueueSummary], style: Style) -> Iterator[str]:
    """Yield the lines of a table of another machine's queues."""
    width = max(len("QUEUE"), *(len(each.queue_id) for each in queues))
    yield style("bold", f"{'QUEUE':<{width}}  STATUS")
    for each in queues:
        lost = "  (no runner)" if each.state == "running" and not each.runs else ""
        if each.troubles:
            lost = f"  (trouble: {printable(each.troubles[0].what)})"
        yield f"{each.queue_id:<{width}}  {style(each.state, each.state)}{lost}"


def remote_as_json(queues: Sequence[QueueSummary]) -> str:
    """Return another machine's queues as a JSON array."""
    shown = [
        {
            "queue_id": each.queue_id,
            "status": each.state,
            "runner_alive": each.runs,
            "troubles": [trouble(found, None) for found in each.troubles],
        }
        for each in queues
    ]
    return msgspec.json.format(msgspec.json.encode(shown), indent=2).decode()
