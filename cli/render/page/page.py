"""Put the page together."""

from pathlib import Path

from spawn import __version__
from spawn.cli.render.page.audit import audit
from spawn.cli.render.page.failures import failures
from spawn.cli.render.page.files import files
from spawn.cli.render.page.html import Safe, tag
from spawn.cli.render.page.jobs import jobs
from spawn.cli.render.page.path import path
from spawn.cli.render.page.rows import rows
from spawn.cli.render.page.sheet import GLYPHS, Sheet
from spawn.cli.render.page.top import top

GENERATOR = "spawn queue report"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The page loads nothing and runs nothing, whatever a job's output tries. Source: CSP level 3."""


def page(sheet: Sheet) -> str:
    """A queue as one HTML file; the same for the same log, moment, zone and files beside it."""
    report = sheet.report
    title = f"{GLYPHS[report.status]} {report.queue_name or report.queue_id}: {report.status}"
    style = Path(__file__).with_name("page.css").read_text("utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        Safe(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=GENERATOR),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        Safe(f"<style>\n{style}</style>"),
    )
    made = f"Made by spawn {__version__} from the queue's log, as of {sheet.when(report.as_of)}."
    body = tag(
        "body",
        top(sheet),
        tag(
            "main",
            rows(sheet),
            failures(sheet),
            path(sheet),
            jobs(sheet),
            files(sheet),
            audit(sheet),
        ),
        tag("footer", tag("p", made)),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"
