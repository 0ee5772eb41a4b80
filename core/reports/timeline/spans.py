"""The spans of a job, without gaps or overlaps."""

from collections.abc import Iterator

from spawn.core.reports.timeline.model import Completion, JobHistory, Kind, Span, Timeline

WAITS: frozenset[Kind] = frozenset({"needs", "saving", "turn", "retry", "blocked", "rest", "tail"})
"""Kinds that are replaced by `unowned` while the queue has no owner."""
_KIND_OF_STATE: dict[str, Kind] = {
    "retrying": "retry",
    "blocked": "blocked",
    "completed": "rest",
    "failed": "rest",
    "absent": "absent",
    "folded": "folded",
}


def spans(timeline: Timeline, job_id: str) -> list[Span]:
    """Return a job's spans; each begins where the previous one ends.

    They cover the time from when the job was added to its end, or else to the timeline's end.
    """
    line, gaps = timeline.lines[job_id], timeline.gaps
    return [
        piece
        for span in _uncut_spans(timeline, line)
        for piece in without_gaps(span, gaps)
        if piece.end > piece.start or piece.kind == "run"
    ]


def without_gaps(span: Span, gaps: list[tuple[float, float]]) -> Iterator[Span]:
    """Split a wait so that periods without an owner become `unowned` spans."""
    if span.kind not in WAITS:
        yield span
        return
    at = span.start
    for start, end in gaps:
        start, end = max(at, start), min(end, span.end)
        if start >= end:
            continue
        if start > at:
            yield Span(kind=span.kind, start=at, end=start, of=span.of)
        yield Span(kind="unowned", start=start, end=end)
        at = end
    if span.end > at or span.start == span.end:
        yield Span(kind=span.kind, start=at, end=span.end, attempt=span.attempt, of=span.of)


def completion_at(line: JobHistory, at: float) -> Completion | None:
    """Return the completion that was in effect at a time; None if the job was not completed."""
    for completion in reversed(line.completions):
        if completion.at <= at:
            undone = completion.undone
            return completion if undone is None or undone >= at else None
    return None


def _uncut_spans(timeline: Timeline, line: JobHistory) -> Iterator[Span]:
    for index, move in enumerate(line.moves):
        last = index == len(line.moves) - 1
        if last and move.state in ("completed", "failed", "absent"):
            return
        end = max(move.at, timeline.end) if last else line.moves[index + 1].at
        attempt = move.attempt
        if attempt is not None:
            until = end if attempt.ran_until is None else min(end, attempt.ran_until)
            yield Span(kind="run", start=move.at, end=until, attempt=attempt)
            yield Span(kind="unseen", start=until, end=end, attempt=attempt)
        elif move.state == "pending":
            yield from _pending_spans(timeline, line, move.at, end)
        else:
            yield Span(kind=_KIND_OF_STATE[move.state], start=move.at, end=end, of=move.by)


def _pending_spans(
    timeline: Timeline, line: JobHistory, start: float, end: float
) -> Iterator[Span]:
    """Yield what a pending job waited for: dependencies, their uploads, a free slot."""
    last, settling = "", ""
    met = saved = start
    for need in timeline.needs[line.job_id]:
        held = completion_at(timeline.lines[need], end)
        at = end if held is None else held.at
        if at > met:
            met, last = min(at, end), need
        settled = end if held is None or held.settled is None else held.settled
        if settled > saved:
            saved, settling = min(settled, end), need
    yield Span(kind="needs", start=start, end=met, of=last)
    yield Span(kind="saving", start=met, end=max(met, saved), of=settling)
    yield Span(kind="turn", start=max(met, saved), end=end)
