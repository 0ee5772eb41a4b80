"""Make the page from its templates."""

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from spawn import __version__
from spawn.cli.output.page.data import GLYPHS, PageData, short
from spawn.cli.output.page.failures import failures
from spawn.cli.output.page.tables import audit_table, file_table, job_table, path_table
from spawn.cli.output.page.time_axis import zone_name
from spawn.cli.output.page.timeline import timeline
from spawn.cli.output.status import not_estimated, trouble_text
from spawn.core.reports.timeline.model import Epoch
from spawn.core.values.durations import format_duration
from spawn.core.values.text import plural

GENERATOR = "spawn queue report"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Forbids scripts and external resources, whatever a job's output contains. Source: CSP level 3."""

_INVISIBLE = re.compile(
    "\x1b\\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]"
)
"""Control characters, terminal colours, surrogates and bidirectional overrides."""


def page(sheet: PageData) -> str:
    """Return a queue's report as one HTML file. The output depends only on `sheet`."""
    report = sheet.report
    return (
        environment()
        .get_template("page.html")
        .render(
            sheet=sheet,
            report=report,
            version=__version__,
            generator=GENERATOR,
            policy=POLICY,
            zone=zone_name(report.as_of, sheet.zone),
            not_estimated=not_estimated(report),
            epochs=[_epoch(sheet, epoch) for epoch in sheet.timeline.epochs],
            counts={name: n for name, n in report.counts.items() if n and name != "total"},
            warnings=[*(trouble_text(t, sheet.zone) for t in report.troubles), *report.warnings],
            timeline=timeline(sheet),
            failures=failures(sheet),
            path=path_table(sheet),
            jobs=job_table(sheet),
            files=file_table(sheet),
            audit=list(audit_table(sheet)),
        )
    )


@cache
def environment() -> Environment:
    """Return the templates, which escape every text that is not `Markup`."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.globals["glyphs"] = GLYPHS
    found.filters.update(duration=format_duration, plural=plural, short=short, cut=_cut)
    return found


def _clean(value: object) -> object:
    """Remove invisible characters from text, except tabs and line breaks; print None as nothing."""
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _INVISIBLE.sub("", value)
    return value


def _cut(text: str, most: int) -> str:
    """Shorten text to `most` characters and an ellipsis."""
    return text if len(text) <= most else f"{text[:most]}…"


def _epoch(sheet: PageData, epoch: Epoch) -> str:
    """Describe a runner's ownership of the queue."""
    owner = epoch.owner
    where = owner.hostname if owner.instance_id == "local" else owner.instance_id
    on = "" if owner.owner.endswith(f"@{where}") else f" on {where}"
    start = sheet.clock(epoch.start)
    span = f"since {start}" if epoch.end is None else f"{start} to {sheet.clock(epoch.end)}"
    fate = {
        "owns": "running" if sheet.report.runner_alive is not False else "died",
        "interrupted": f"interrupted ({epoch.cause})",
        "died": "died",
        "completed": "completed",
        "failed": f"failed ({epoch.cause})",
    }[epoch.fate]
    return f"Epoch {epoch.number}: {owner.owner}{on}, {span}, {fate}"
