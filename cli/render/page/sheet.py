"""What a page is made of."""

from collections.abc import Mapping
from datetime import datetime, tzinfo

from msgspec import Struct

from spawn.core.durations import text as duration
from spawn.core.report.model import Report
from spawn.core.state import QueueState
from spawn.core.timeline.model import Timeline
from spawn.core.timeline.path import Stretch
from spawn.core.why.model import Why

GLYPHS = {
    "pending": "‖",
    "running": "▶\ufe0e",
    "completed": "✓",
    "failed": "✗",
    "retrying": "↻",
    "blocked": "⊘",
    "interrupted": "■",
}
"""As on a terminal, where every font has them; the selector keeps browsers from drawing
pictures."""


class Sheet(Struct, frozen=True, kw_only=True):
    """A queue, ready to be put on a page.

    `zone` is the reader's, None the machine's own. `whys` are the failures that are told at length,
    by job id. `there` are the files beside the page, as `job/stdout.log`.
    """

    state: QueueState
    report: Report
    timeline: Timeline
    path: list[Stretch]
    whys: Mapping[str, Why]
    zone: tzinfo | None
    there: frozenset[str] = frozenset()

    def when(self, moment: datetime) -> str:
        """A moment in full: `2026-01-27 14:05:32 PST`."""
        return f"{moment.astimezone(self.zone):%Y-%m-%d %H:%M:%S %Z}"

    def clock(self, at: float) -> str:
        """A time of the timeline, short: with the day where the queue took longer than one."""
        here = self.timeline.moment(at).astimezone(self.zone)
        first = self.timeline.base.astimezone(self.zone).date()
        same = first == self.timeline.moment(self.timeline.end).astimezone(self.zone).date()
        return f"{here:%H:%M:%S}" if same else f"{here:%b %d %H:%M:%S}"

    def folder(self, job_id: str) -> str:
        """Where the files of a job's newest attempt are kept; empty when there are none."""
        job = self.state.jobs[job_id]
        if job.outcome is None or not job.folder or not self.report.results_location:
            return ""
        return f"{self.report.results_location}{job_id}/attempts/{job.epoch}.{job.attempt}/"


def short(seconds: float) -> str:
    """A duration for a table: what is short with a decimal."""
    if 0 < seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    return duration(seconds)
