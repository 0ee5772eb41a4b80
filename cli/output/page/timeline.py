"""The timeline: one row per job, one bar per attempt, and the waits between."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from spawn.cli.output.page.data import PageData, short
from spawn.cli.output.page.time_axis import Scale
from spawn.core.reports.model import JobReport
from spawn.core.reports.timeline.model import Attempt, JobHistory, Kind, Span
from spawn.core.reports.timeline.spans import spans
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.text import plural

_ROWS = 400
"""Maximum number of jobs drawn."""
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


class Mark(Struct, frozen=True):
    """A bar, a wait or another mark in a row; `kind` is its CSS class."""

    kind: str
    style: str
    title: str


class Row(Struct, frozen=True, kw_only=True):
    """A job's row; `label` describes it for screen readers."""

    job: JobReport
    marks: list[Mark]
    label: str
    total: str
    critical: bool


def timeline(sheet: PageData) -> dict[str, object]:
    """Return the rows, ticks, grid, cuts and legend of the timeline."""
    scale = Scale(sheet.timeline)
    jobs = sheet.select_jobs(_ROWS)
    wide = [gap for gap in sheet.timeline.gaps if scale(gap[1]) - scale(gap[0]) >= _MIN_PERCENT]
    gaps = [
        _place("gap", scale, start, end, f"{WORDS['unowned']}: {duration(end - start)}")
        for start, end in sorted(wide, key=lambda gap: gap[0] - gap[1])[:_GAPS]
    ]
    most = min(_MOST_SPANS, max(_LEAST_SPANS, _SPANS // max(1, len(jobs))))
    on_path = {step.job_id: step for step in sheet.path if step.job_id}
    rows = []
    for job in jobs:
        line = sheet.timeline.lines[job.job_id]
        pieces = _newest(spans(sheet.timeline, job.job_id), most)
        marks = [*gaps, *_marks(sheet, scale, pieces)]
        step = on_path.get(job.job_id)
        if step is not None:
            marks.append(_place("chain", scale, step.start, step.end, "critical path"))
        label = _row_label(sheet, job, line, pieces, critical=step is not None)
        total = _total(job, line)
        rows.append(Row(job=job, marks=marks, label=label, total=total, critical=step is not None))
    ticks = scale.ticks(sheet.zone)
    lines = ", ".join(_line(tick.place) for tick in ticks)
    return {
        "rows": rows,
        "ticks": ticks,
        "grid": f"--grid:linear-gradient(to right, transparent 0, {lines}, transparent 0)",
        "cuts": scale.cuts,
        "legend": _legend({mark.kind for row in rows for mark in row.marks}),
    }


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


def _place(kind: str, scale: Scale, start: float, end: float, title: str) -> Mark:
    left = scale(start)
    width = max(0.0, scale(end) - left)
    return Mark(kind, f"left:{left:.3f}%;width:{width:.3f}%", title)


def _marks(sheet: PageData, scale: Scale, pieces: Iterable[Span]) -> Iterator[Mark]:
    """Yield the marks of attempts and of waits that are long enough."""
    for span in pieces:
        if span.kind == "run" and span.attempt is not None:
            title = attempt_text(sheet, span.attempt)
            yield _place(f"bar {span.attempt.result}", scale, span.start, span.end, title)
            continue
        folded = span.kind == "folded"
        wide = folded or scale(span.end) - scale(span.start) >= _MIN_PERCENT
        if wide and span.kind in WORDS and span.kind != "unowned":  # gaps have their own marks
            kind = "bar folded" if folded else f"wait {span.kind}"
            of = f" ({span.of})" if span.of else ""
            title = f"{WORDS[span.kind]}{of}: {duration(span.seconds)}"
            yield _place(kind, scale, span.start, span.end, title)


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


def _legend(drawn: set[str]) -> list[tuple[str, str]]:
    """Return the kinds of marks that are drawn, with their meaning."""
    known = [
        *((f"bar {result}", text) for result, text in RESULTS.items()),
        *((f"wait {kind}", text) for kind, text in WORDS.items()),
        ("bar folded", WORDS["folded"]),
        ("gap", WORDS["unowned"]),
        ("chain", "critical path"),
    ]
    return [(kind, text) for kind, text in known if kind in drawn]
