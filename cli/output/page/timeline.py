"""The timeline: one row per job, one bar per attempt, and the waits between."""

from collections.abc import Iterable, Iterator

from spawn.cli.output.page.data import GLYPHS, PageData, short
from spawn.cli.output.page.html import Safe, section, tag
from spawn.cli.output.page.job_selection import choose, left_out
from spawn.cli.output.page.time_axis import Scale
from spawn.core.reports.model import JobReport
from spawn.core.reports.timeline.model import Attempt, JobHistory, Kind, Span
from spawn.core.reports.timeline.spans import spans
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.text import plural

ROWS = 400
"""Maximum number of jobs drawn."""
_MANY = 40
"""Number of rows above which rows are lower."""
_GAPS = 20
_MIN_PERCENT = 0.15
"""Minimum width of a wait to be drawn, in percent of the axis; attempts are always drawn."""
_SPANS = 8000
"""Approximate maximum of spans on the page, to limit its size."""
_LEAST_SPANS, _MOST_SPANS = 20, 150
"""Limits for the spans of one job."""

WORDS: dict[Kind, str] = {
    "needs": "waits for a dependency",
    "saving": "waits for a dependency's results to be saved",
    "turn": "waits for its turn",
    "retry": "waits for its retry",
    "blocked": "blocked by a failed job",
    "unseen": "ended, not yet logged",
    "unowned": "the queue has no runner",
    "folded": "older attempts, combined",
}
RESULTS = {
    "completed": "completed",
    "failed": "failed",
    "retrying": "failed, retried",
    "interrupted": "interrupted, not counted as a failure",
    "running": "running",
}


def rows(sheet: PageData) -> Safe:
    """Return the timeline section."""
    scale = Scale(sheet.timeline)
    ticks = scale.ticks(sheet.zone)
    jobs = choose(sheet, ROWS)
    wide = [gap for gap in sheet.timeline.gaps if scale(gap[1]) - scale(gap[0]) >= _MIN_PERCENT]
    gaps = sorted(wide, key=lambda gap: gap[0] - gap[1])[:_GAPS]
    most = min(_MOST_SPANS, max(_LEAST_SPANS, _SPANS // max(1, len(jobs))))
    on_path = {stretch.job_id: stretch for stretch in sheet.path if stretch.job_id}
    drawn: set[str] = {"gap"} if gaps else set()
    lines = []
    for job in jobs:
        line = sheet.timeline.lines[job.job_id]
        pieces = _newest(spans(sheet.timeline, job.job_id), most)
        visible = [
            span
            for span in pieces
            if span.kind in ("run", "folded") or scale(span.end) - scale(span.start) >= _MIN_PERCENT
        ]
        marks = [*(_gap(scale, *gap) for gap in gaps)]
        marks += [mark for piece in visible for mark in _mark(sheet, scale, piece)]
        drawn |= {_class(piece) for piece in visible}
        stretch = on_path.get(job.job_id)
        if stretch is not None:
            drawn.add("chain")
            marks.append(_place("chain", scale, stretch.start, stretch.end, "critical path"))
        label = _row_label(sheet, job, line, pieces, critical=stretch is not None)
        name = [
            tag("span", GLYPHS[job.status], class_=job.status),
            " ",
            tag("a", tag("b", job.job_id), href=f"#job-{job.job_id}", class_="plain"),
        ]
        lines.append(
            tag(
                "li",
                tag("span", name, class_="name", title=job.job_id),
                tag("span", marks, class_="track", role="img", aria_label=label),
                tag("span", _total(job, line), class_="sum"),
                class_="row critical" if stretch is not None else "row",
            )
        )
    marked = (
        tag(
            "span",
            tick.label,
            style=f"left:{tick.place:.2f}%",
            class_="odd" if index % 2 else None,
        )
        for index, tick in enumerate(ticks)
    )
    stops = ", ".join(_line(tick.place) for tick in ticks)
    grid = f"--grid:linear-gradient(to right, transparent 0, {stops}, transparent 0)"
    return section(
        "timeline",
        "Timeline",
        tag(
            "div",
            tag(
                "div",
                tag("span", marked, class_="ticks"),
                class_="axis",
                aria_hidden="true",
            ),
            tag("ol", lines, class_="rows"),
            class_="many" if len(jobs) > _MANY else None,
            style=grid if ticks else None,
        ),
        tag("p", _cuts_note(sheet, scale), class_="soft small") if scale.cuts else None,
        left_out(sheet, len(jobs)),
        _legend(drawn),
    )


def _newest(found: list[Span], most: int) -> list[Span]:
    """Return at most `most` newest spans; the older ones become one `folded` span."""
    if len(found) <= most:
        return found
    kept = found[-most:]
    return [Span(kind="folded", start=found[0].start, end=kept[0].start), *kept]


def _line(place: float) -> str:
    return (
        f"transparent calc({place:.2f}% - .5px), var(--line) 0, "
        f"var(--line) calc({place:.2f}% + .5px), transparent 0"
    )


def _cuts_note(sheet: PageData, scale: Scale) -> str:
    cuts = (
        f"{sheet.clock(start)} to {sheet.clock(end)} ({duration(end - start)})"
        for start, end in scale.cuts
    )
    return f"Not to scale, because the queue had no runner: {'; '.join(cuts)}."


def _place(class_: str, scale: Scale, start: float, end: float, title: str) -> Safe:
    left = scale(start)
    width = max(0.0, scale(end) - left)
    return tag("i", class_=class_, style=f"left:{left:.3f}%;width:{width:.3f}%", title=title)


def _gap(scale: Scale, start: float, end: float) -> Safe:
    return _place("gap", scale, start, end, f"{WORDS['unowned']}: {duration(end - start)}")


def _mark(sheet: PageData, scale: Scale, span: Span) -> Iterator[Safe]:
    class_ = _class(span)
    if class_ in ("gap", "wait absent", "wait rest", "wait tail"):
        return
    if span.attempt is not None and span.kind == "run":
        title = attempt_text(sheet, span.attempt)
    else:
        of = f" ({span.of})" if span.of else ""
        title = f"{WORDS[span.kind]}{of}: {duration(span.seconds)}"
    yield _place(class_, scale, span.start, span.end, title)


def _class(span: Span) -> str:
    if span.kind == "run" and span.attempt is not None:
        return f"bar {span.attempt.result}"
    if span.kind == "folded":
        return "bar folded"
    return "gap" if span.kind == "unowned" else f"wait {span.kind}"


def exit_words(code: int | None, signal: str | None, *, timed_out: bool) -> str:
    """Format how a command ended: `137 (SIGKILL)`, `124 (timeout)`; empty if unknown."""
    if code is None:
        return ""
    return f"{code} (timeout)" if timed_out else f"{code} ({signal})" if signal else str(code)


def attempt_text(sheet: PageData, attempt: Attempt) -> str:
    """Describe an attempt in words."""
    end = exit_words(attempt.exit_code, attempt.signal, timed_out=attempt.timed_out)
    how = f", exit {end}" if end and attempt.result in ("failed", "retrying") else ""
    if attempt.result == "interrupted":
        how = f" ({attempt.reason})"
    until = attempt.end if attempt.ran_until is None else attempt.ran_until
    if until is None:
        return f"attempt {attempt.number}: running since {sheet.clock(attempt.start)}"
    took = attempt.wall_seconds or until - attempt.start
    result = WORDS["unseen"] if attempt.end is None else RESULTS[attempt.result]
    return (
        f"attempt {attempt.number}: {result}{how}, {sheet.clock(attempt.start)} "
        f"to {sheet.clock(until)}, {short(took)}"
    )


def _total(job: JobReport, line: JobHistory) -> str:
    number = len(line.attempts) + line.folded
    more = f" · {number} attempts" if number > 1 else ""
    if job.elapsed is not None:
        return f"{short(job.elapsed)}{more}"
    if job.duration is None:
        return job.status
    return f"{short(job.duration)}{more}"


def _row_label(
    sheet: PageData, job: JobReport, line: JobHistory, pieces: Iterable[Span], *, critical: bool
) -> str:
    """Describe a row for screen readers."""
    tries = [attempt_text(sheet, attempt) for attempt in line.attempts[-10:]]
    left = len(line.attempts) + line.folded - len(tries)
    more = [plural(left, "older attempt")] if left else []
    waited = sum(span.seconds for span in pieces if span.kind not in ("run", "rest", "absent"))
    wait = [f"waited {duration(waited)} in total"] if waited >= 1 else []
    path = ["on the critical path"] if critical else []
    text = "; ".join([*more, *tries, *wait, *path]) or "not started"
    return f"{job.job_id}, {job.status}: {text}"


def _legend(drawn: set[str]) -> Safe:
    known = [
        *((f"bar {result}", text) for result, text in RESULTS.items()),
        *((f"wait {kind}", text) for kind, text in WORDS.items()),
        ("bar folded", WORDS["folded"]),
        ("gap", WORDS["unowned"]),
        ("chain", "critical path"),
    ]
    colours = {"bar folded": "retrying"}
    return tag(
        "ul",
        (
            tag("li", tag("span", tag("i", class_=class_), class_=_swatch(class_, colours)), text)
            for class_, text in known
            if class_ in drawn
        ),
        class_="legend",
        aria_label="Legend",
    )


def _swatch(class_: str, colours: dict[str, str]) -> str:
    return f"swatch {colours.get(class_, '')}".strip()
