"""The header of the page: the queue, its status, the number of jobs in each state."""

from collections.abc import Iterator

from spawn.cli.output.page.data import GLYPHS, PageData
from spawn.cli.output.page.html import Child, Safe, safe, tag
from spawn.cli.output.page.time_axis import zone_name
from spawn.cli.output.status import not_estimated, trouble_text
from spawn.core.reports.timeline.model import Epoch
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.text import plural

_OWNERS = 6
_WARNINGS = 20


def top(sheet: PageData) -> Safe:
    """Return the header."""
    report = sheet.report
    reason = f" ({report.reason})" if report.reason else ""
    named = report.queue_name is not None
    return tag(
        "header",
        tag("h1", report.queue_name if named else report.queue_id),
        tag("p", report.queue_id, class_="id") if named else None,
        tag(
            "p", f"{GLYPHS[report.status]} {report.status}{reason}", class_=f"pill {report.status}"
        ),
        tag("p", _as_of(sheet), class_="soft"),
        tag("dl", (_fact(*fact) for fact in _facts(sheet)), class_="facts"),
        _counts(sheet),
        _warnings(sheet),
        class_="top",
    )


def _as_of(sheet: PageData) -> str:
    report = sheet.report
    zone = zone_name(report.as_of, sheet.zone)
    if report.is_past:
        return f"As of {sheet.when(report.as_of)}, in the past. Times are {zone}."
    if report.ended:
        return f"Times are {zone}."
    alive = "; the queue has no runner" if report.runner_alive is False else ""
    return f"As of {sheet.when(report.as_of)}{alive}. Times are {zone}."


def _facts(sheet: PageData) -> Iterator[tuple[str, Child, bool]]:
    report, epochs = sheet.report, sheet.timeline.epochs
    yield "Submitted", sheet.when(report.submitted_at), False
    if report.started_at is not None:
        yield "Started", sheet.when(report.started_at), False
    if report.ended_at is not None:
        word = "Interrupted" if report.status == "interrupted" else "Ended"
        yield word, sheet.when(report.ended_at), False
    yield "Elapsed", duration(report.elapsed), False
    if report.estimated_completion is not None:
        expected = f"{sheet.when(report.estimated_completion)}{not_estimated(report)}"
        yield "Estimated end", expected, False
    yield "Instance", report.instance_id, False
    if len(epochs) == 1:
        yield "Run by", epochs[0].owner.owner, False
    elif epochs:
        shown = [_epoch(sheet, epoch) for epoch in epochs[-_OWNERS:]]
        left = len(epochs) - len(shown)
        earlier = tag("li", plural(left, "earlier owner")) if left else None
        yield f"Run by {len(epochs)} owners", tag("ul", earlier, shown), True
    if report.results_location:
        yield "Results", tag("code", report.results_location), True


def _fact(name: str, value: Child, wide: bool) -> Safe:
    return tag("div", tag("dt", name), tag("dd", value), class_="wide" if wide else None)


def _owner(epoch: Epoch) -> str:
    owner = epoch.owner
    where = owner.hostname if owner.instance_id == "local" else owner.instance_id
    return owner.owner if owner.owner.endswith(f"@{where}") else f"{owner.owner} on {where}"


def _epoch(sheet: PageData, epoch: Epoch) -> Safe:
    end = "" if epoch.end is None else sheet.clock(epoch.end)
    fate = {
        "owns": "running" if sheet.report.runner_alive is not False else "died",
        "interrupted": f"interrupted ({epoch.cause})",
        "died": "died",
        "completed": "completed",
        "failed": f"failed ({epoch.cause})",
    }[epoch.fate]
    span = f"{sheet.clock(epoch.start)} to {end}" if end else f"since {sheet.clock(epoch.start)}"
    return tag("li", f"Epoch {epoch.number}: {_owner(epoch)}, {span}, {fate}")


def _counts(sheet: PageData) -> Safe:
    counts = {name: count for name, count in sheet.report.counts.items() if count}
    total = counts.pop("total", 0)
    bar = (
        tag("span", class_=name, style=f"flex:{count}", title=f"{count} {name}")
        for name, count in counts.items()
    )
    items = (
        tag("li", tag("span", f"{GLYPHS[name]} {count:,} {name}", class_=name))
        for name, count in counts.items()
    )
    return safe(
        [
            tag("div", bar, class_="share", aria_hidden="true"),
            tag("ul", tag("li", plural(total, "job")), items, class_="counts"),
        ]
    )


def _warnings(sheet: PageData) -> Safe:
    troubles = (trouble_text(each, sheet.zone) for each in sheet.report.troubles)
    warnings = [*troubles, *sheet.report.warnings]
    if not warnings:
        return Safe("")
    left = len(warnings) - _WARNINGS
    more = tag("li", plural(left, "more warning")) if left > 0 else None
    shown = (tag("li", text) for text in warnings[:_WARNINGS])
    return tag("ul", shown, more, class_="warnings", aria_label="Warnings")
