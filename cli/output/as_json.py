"""A report as JSON: indented, or one compact object per line."""

import msgspec

from spawn.core.reports.as_json import as_json
from spawn.core.reports.model import Report


def pretty(report: Report) -> str:
    """Return a report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(as_json(report, None)), indent=2).decode()


def compact(report: Report) -> str:
    """Return a report as one line of JSON."""
    return msgspec.json.encode(as_json(report, None)).decode()
