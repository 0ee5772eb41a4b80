"""The audit: owners, resets, cancellations, rejected requests, configuration changes."""

from spawn.cli.output.history import what
from spawn.cli.output.page.data import Sheet
from spawn.cli.output.page.html import Safe, cell, section, table, tag
from spawn.core.domain.events import JobReset
from spawn.core.reports.timeline.model import Entry
from spawn.core.values.text import plural
from spawn.core.values.timestamps import moment


def audit(sheet: Sheet) -> Safe:
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


def _row(sheet: Sheet, entry: Entry) -> Safe:
    event = entry.event
    text = what(event)
    if isinstance(event.data, JobReset):
        more = f" and {entry.more} more" if entry.more else ""
        text = f"{', '.join(entry.jobs)}{more}: {text}"
    return tag(
        "tr",
        tag("th", sheet.when(moment(event.at)), scope="row"),
        cell("Event", str(event.seq), number=True),
        cell("What", text[:1].upper() + text[1:] if not event.job_id else text),
    )
