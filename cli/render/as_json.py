"""JSON on stdout: for people and `jq`, or one compact object a line."""

import msgspec

from spawn.core.report.as_json import as_json
from spawn.core.report.model import Report


def pretty(report: Report) -> str:
    """A report over many lines."""
    return msgspec.json.format(msgspec.json.encode(as_json(report, None)), indent=2).decode()


def compact(report: Report) -> str:
    """A report in one line."""
    return msgspec.json.encode(as_json(report, None)).decode()
