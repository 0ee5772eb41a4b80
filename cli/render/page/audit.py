"""The audit: owners, resets, cancellations, rejected requests, configuration changes."""

from spawn.cli.render.history import what
from spawn.cli.render.page.html import Safe, cell, section, table, tag
from spawn.cli.render.page.sheet import Sheet
from spawn.cli.render.words import plural
from spawn.core.events import JobReset
from spawn.core.moments import moment
from spawn.core.timeline.model import Entry


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
