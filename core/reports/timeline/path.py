"""The critical path: the chain of jobs that determined when the queue ended."""

from msgspec import Struct

from spawn.core.reports.timeline.model import JobHistory, Span, Timeline
from spawn.core.reports.timeline.spans import completion_at, spans, without_gaps


class PathStep(Struct, frozen=True, kw_only=True):
    """A job's part of the path, from the end of the previous job on the path to its own end.

    `job_id` is empty for the time after the last job.
    """

    job_id: str
    start: float
    end: float
    spans: tuple[Span, ...]

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return self.end - self.start

    def total(self, *kinds: str) -> float:
        """Return the total seconds of the spans of these kinds."""
        return sum(span.seconds for span in self.spans if span.kind in kinds)


def critical_path(timeline: Timeline) -> list[PathStep]:
    """Return the path from the submission to the end, oldest first, without gaps.

    It is computed backwards: from the job that ended last, or is still unfinished, to the
    dependency that was ready last, and so on to a job without dependencies. Each job depends on the
    one before it. Empty if no job has started.
    """
    last = _last_line(timeline)
    if last is None:
        return []
    found = []
    end = _end_of(timeline, last)
    if timeline.end > end:
        tail = Span(kind="tail", start=end, end=timeline.end)
        pieces = tuple(without_gaps(tail, timeline.gaps))
        found.append(PathStep(job_id="", start=end, end=timeline.end, spans=pieces))
    line: JobHistory | None = last
    while line is not None:
        before, start = _last_dependency(timeline, line, end)
        found.append(_stretch(timeline, line.job_id, start, end))
        line, end = before, start
    return found[::-1]


def _last_line(timeline: Timeline) -> JobHistory | None:
    """Return the job that ended last; an unfinished job ends at the timeline's end."""
    began = [line for line in timeline.lines.values() if line.attempts]
    return max(
        began, key=lambda line: (_end_of(timeline, line), -line.attempts[0].start), default=None
    )


def _end_of(timeline: Timeline, line: JobHistory) -> float:
    if line.moves[-1].state in ("running", "retrying"):
        return max(timeline.end, line.moves[-1].at)
    ended = line.attempts[-1].end
    return timeline.end if ended is None else ended


def _last_dependency(
    timeline: Timeline, line: JobHistory, end: float
) -> tuple[JobHistory | None, float]:
    """Return the dependency that was ready last before a job's start, and when it completed.

    The start is that of the newest attempt that began before `end`.
    """
    began = max((a.start for a in line.attempts if a.start <= end), default=end)
    found, ready, start = None, -1.0, 0.0
    for need in timeline.needs[line.job_id]:
        held = completion_at(timeline.lines[need], began)
        if held is None or held.at > end:
            continue
        settled = held.at if held.settled is None else held.settled
        if settled > ready:
            found, ready, start = timeline.lines[need], settled, held.at
    return found, start


def _stretch(timeline: Timeline, job_id: str, start: float, end: float) -> PathStep:
    """Return a job's stretch between two times, including time before the job was added."""
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
    return PathStep(job_id=job_id, start=start, end=end, spans=tuple(pieces))
