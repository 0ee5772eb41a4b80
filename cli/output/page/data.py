"""The data of a page."""

from collections.abc import Mapping
from datetime import datetime, tzinfo

from msgspec import Struct

from spawn.core.domain.state import QueueState
from spawn.core.reports.model import JobReport, Report
from spawn.core.reports.timeline.model import Timeline
from spawn.core.reports.timeline.path import PathStep
from spawn.core.reports.why.model import Explanation
from spawn.core.values.durations import format_duration as duration

GLYPHS = {
    "pending": "‖",
    "running": "▶\ufe0e",
    "completed": "✓",
    "failed": "✗",
    "retrying": "↻",
    "blocked": "⊘",
    "interrupted": "■",
}
"""As on a terminal, but limited to glyphs that most fonts have. The variation selector keeps
browsers from drawing an emoji."""

_URGENCY = {"failed": 0, "running": 1, "retrying": 1, "blocked": 4, "pending": 5, "completed": 3}


class PageData(Struct, frozen=True, kw_only=True):
    """The data of a queue's page.

    `zone` is the time zone for all times, None the machine's own. `whys` has the failures to show
    in detail, by job id. `files_beside` has the files next to the page, such as `job/stdout.log`.
    """

    state: QueueState
    report: Report
    timeline: Timeline
    path: list[PathStep]
    whys: Mapping[str, Explanation]
    zone: tzinfo | None
    files_beside: frozenset[str] = frozenset()

    def when(self, moment: datetime) -> str:
        """Format a time with its zone: `2026-01-27 14:05:32 PST`."""
        return f"{moment.astimezone(self.zone):%Y-%m-%d %H:%M:%S %Z}"

    def clock(self, at: float) -> str:
        """Format a time of the timeline, with the day if the queue did not end on its first day."""
        here = self.timeline.moment(at).astimezone(self.zone)
        first = self.timeline.base.astimezone(self.zone).date()
        same = first == self.timeline.moment(self.timeline.end).astimezone(self.zone).date()
        return f"{here:%H:%M:%S}" if same else f"{here:%b %d %H:%M:%S}"

    def folder(self, job_id: str) -> str:
        """Return the location of the files of a job's newest attempt; empty if there are none."""
        job = self.state.jobs[job_id]
        if job.outcome is None or not job.folder or not self.report.results_location:
            return ""
        return f"{self.report.results_location}{job_id}/attempts/{job.epoch}.{job.attempt}/"

    def linked_files(self, job_id: str) -> list[str]:
        """Return the names of a job's files next to the page, relative to the job's folder."""
        names = ("stdout.log", "stderr.log", "results/")
        return [name for name in names if f"{job_id}/{name}" in self.files_beside]

    def select_jobs(self, most: int) -> list[JobReport]:
        """Return at most `most` jobs, in file order.

        Failed jobs take precedence, then running and retrying ones, then those on the critical path
        or with more than one attempt, then the longest.
        """
        jobs = self.report.jobs
        if len(jobs) <= most:
            return list(jobs)
        path = {step.job_id for step in self.path}

        def rank(job: JobReport) -> tuple[int, float]:
            first = 2 if job.job_id in path or job.attempt > 1 else 9
            return min(_URGENCY[job.status], first), -(job.duration or 0.0)

        chosen = {job.job_id for job in sorted(jobs, key=rank)[:most]}
        return [job for job in jobs if job.job_id in chosen]


def short(seconds: float) -> str:
    """Format a duration for a table, with one decimal below 10 seconds."""
    if 0 < seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    return duration(seconds)
