"""The audit: owners, resets, cancellations, rejected requests, configuration changes."""

from spawn.cli.output.history import describe
from spawn.cli.output.page.data import PageData
from spawn.cli.output.page.html import Safe, cell, section, table, tag
from spawn.core.domain.events import JobReset
from spawn.core.reports.timeline.model import AuditEntry
from spawn.core.values.text import plural
from spawn.core.values.timestamps import parse_timestamp


def audit(sheet: PageData) -> Safe:
    """Return the audit section."""
    left = sheet.timeline.audit_left_out
    note = None
    if left:
        note = tag("p", f"{plural(left, 'older line')} left out.", class_="soft")
    return section(
        "audit",
        "Audit",
        note,
        table(
            "Owners, retries, stops and configuration changes, from the log.",
            ("When", "Event", "What"),
            (_row(sheet, entry) for entry in sheet.timeline.audit),
        ),
    )


def _row(sheet: PageData, entry: AuditEntry) -> Safe:
    event = entry.event
    text = describe(event)
    if isinstance(event.data, JobReset):
        more = f" and {entry.more} more" if entry.more else ""
        text = f"{', '.join(entry.jobs)}{more}: {text}"
    return tag(
        "tr",
        tag("th", sheet.when(parse_timestamp(event.at)), scope="row"),
        cell("Event", str(event.seq), number=True),
        cell("What", text[:1].upper() + text[1:] if not event.job_id else text),
    )
