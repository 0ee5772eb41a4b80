"""The critical path as a table: how long each job delayed the end."""

from collections.abc import Iterator

from spawn.cli.output.page.data import PageData, short
from spawn.cli.output.page.html import Safe, cell, section, table, tag
from spawn.core.reports.timeline.path import PathStep
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.text import plural

_MOST = 40
_WAITS = {
    "needs": "for a dependency",
    "saving": "for results to be saved",
    "turn": "for its turn",
    "retry": "for retries",
    "blocked": "blocked",
    "rest": "for a reset",
    "unseen": "until its end was logged",
    "unowned": "while the queue had no runner",
    "absent": "until it was in the configuration",
    "folded": "in older attempts and their waits",
    "tail": "until the end",
}


def path(sheet: PageData) -> Safe:
    """Return the critical path section."""
    found = [each for each in sheet.path if each.job_id or each.seconds >= 0.5]
    if not found:
        return section("path", "Critical path", tag("p", "No job has started.", class_="soft"))
    longest = sorted(found, key=lambda each: -each.seconds)[:_MOST]
    kept = {id(each) for each in longest}
    shown = [each for each in found if id(each) in kept]
    whole = sheet.timeline.end
    so_far = "" if sheet.report.ended else " so far"
    rows = [_row(sheet, each, whole) for each in shown]
    left = [each for each in found if id(each) not in kept]
    note = None
    if left:
        rest = duration(sum(each.seconds for each in left))
        note = tag(
            "p", f"{plural(len(left), 'shorter step')} left out, {rest} in total.", class_="soft"
        )
    return section(
        "path",
        "Critical path",
        table(
            f"The chain of jobs that determined the end{so_far}: each depends on the one before. "
            f"Total: {duration(whole)} since the submission.",
            ("Job", "From", "To", "Took", "Share", "Of that"),
            rows,
        ),
        note,
    )


def _row(sheet: PageData, stretch: PathStep, whole: float) -> Safe:
    share = 100 * stretch.seconds / whole if whole else 0.0
    name = (
        tag("a", stretch.job_id, href=f"#job-{stretch.job_id}", class_="plain")
        if stretch.job_id
        else tag("span", "after the last job", class_="soft light")
    )
    meter = tag("span", class_="meter", style=f"width:{share:.1f}%", title=f"{share:.0f}%")
    return tag(
        "tr",
        tag("th", name, scope="row"),
        cell("From", sheet.clock(stretch.start), number=True),
        cell("To", sheet.clock(stretch.end), number=True),
        cell("Took", short(stretch.seconds), number=True),
        cell("Share", tag("span", meter, class_="scale"), f"{share:.0f}%", number=True),
        cell("Of that", ", ".join(_parts(stretch))),
    )


def _parts(stretch: PathStep) -> Iterator[str]:
    runs = [span for span in stretch.spans if span.kind == "run"]
    if runs:
        ran = short(stretch.total("run"))
        yield f"ran {ran}" + (f" in {len(runs)} attempts" if len(runs) > 1 else "")
    first = sum(s.seconds for s in stretch.spans if s.kind == "unowned" and s.start == 0)
    if first >= 0.5:
        yield f"waited {short(first)} for a runner to start"
    for kind, words in _WAITS.items():
        seconds = stretch.total(kind) - (first if kind == "unowned" else 0.0)
        if seconds >= 0.5:
            verb = "" if kind in ("blocked", "folded") else "waited " if kind != "tail" else ""
            yield f"{verb}{short(seconds)} {words}"
