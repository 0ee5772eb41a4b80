"""The critical path: the chain of jobs that determined when the queue ended."""

from msgspec import Struct

from spawn.core.timeline.model import Line, Span, Timeline
from spawn.core.timeline.spans import complete_at, spans, without_gaps


class Stretch(Struct, frozen=True, kw_only=True):
    """A job's part of the path, from the end of the job before it on the path to its own.

    `job_id` is empty for what followed the last job.
    """

    job_id: str
    start: float
    end: float
    spans: tuple[Span, ...]

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.start

    def total(self, *kinds: str) -> float:
        """Seconds of these kinds of spans."""
        return sum(span.seconds for span in self.spans if span.kind in kinds)


def critical_path(timeline: Timeline) -> list[Stretch]:
    """The path from the submission to the end, oldest first, without a hole.

    It is walked backwards: from the job that ended last, or is still under way, to that one of its
    dependencies which was ready last, and so on to a job that depended on nothing. Each of its jobs
    depends on the one before it. Empty when no job ever began.
    """
    last = _last(timeline)
    if last is None:
        return []
    found = []
    end = _end(timeline, last)
    if timeline.end > end:
        tail = Span(kind="tail", start=end, end=timeline.end)
        pieces = tuple(without_gaps(tail, timeline.gaps))
        found.append(Stretch(job_id="", start=end, end=timeline.end, spans=pieces))
    line: Line | None = last
    while line is not None:
        before, start = _before(timeline, line, end)
        found.append(_stretch(timeline, line.job_id, start, end))
        line, end = before, start
    return found[::-1]


def _last(timeline: Timeline) -> Line | None:
    """The line that ended last; what is under way ends at the timeline's end."""
    began = [line for line in timeline.lines.values() if line.attempts]
    return max(
        began, key=lambda line: (_end(timeline, line), -line.attempts[0].start), default=None
    )


def _end(timeline: Timeline, line: Line) -> float:
    if line.moves[-1].state in ("running", "retrying"):
        return max(timeline.end, line.moves[-1].at)
    ended = line.attempts[-1].end
    return timeline.end if ended is None else ended


def _before(timeline: Timeline, line: Line, end: float) -> tuple[Line | None, float]:
    """The dependency that let a job begin, and when it was completed.

    The attempt in question is the newest that began before `end`.
    """
    began = max((a.start for a in line.attempts if a.start <= end), default=end)
    found, ready, start = None, -1.0, 0.0
    for need in timeline.needs[line.job_id]:
        held = complete_at(timeline.lines[need], began)
        if held is None or held.at > end:
            continue
        settled = held.at if held.settled is None else held.settled
        if settled > ready:
            found, ready, start = timeline.lines[need], settled, held.at
    return found, start


def _stretch(timeline: Timeline, job_id: str, start: float, end: float) -> Stretch:
    """What the job's time went into between two moments; before it was there, too."""
    pieces = []
    at = start
    for span in spans(timeline, job_id):
        left, right = max(span.start, start), min(span.end, end)
        if left > right or (left == right and span.kind != "run"):
            continue
        if left > at:
            pieces.append(Span(kind="absent", start=at, end=left))
        pieces.append(Span(kind=span.kind, start=left, end=right, attempt=span.attempt, of=span.of))
        at = right
    if at < end:
        pieces.append(Span(kind="absent", start=at, end=end))
    return Stretch(job_id=job_id, start=start, end=end, spans=tuple(pieces))
