"""Select the jobs to show if a queue has too many for a page."""

from spawn.cli.output.page.data import PageData
from spawn.cli.output.page.html import Safe, tag
from spawn.core.reports.model import JobReport
from spawn.core.values.text import plural

_URGENCY = {"failed": 0, "running": 1, "retrying": 1, "blocked": 4, "pending": 5, "completed": 3}


def choose(sheet: PageData, most: int) -> list[JobReport]:
    """Return at most `most` jobs, in file order.

    Failed jobs take precedence, then running and retrying ones, then those on the critical path or
    with more than one attempt, then the longest.
    """
    jobs = sheet.report.jobs
    if len(jobs) <= most:
        return list(jobs)
    path = {stretch.job_id for stretch in sheet.path}

    def rank(job: JobReport) -> tuple[int, float]:
        first = 2 if job.job_id in path or job.attempt > 1 else 9
        return min(_URGENCY[job.status], first), -(job.duration or 0.0)

    chosen = {job.job_id for job in sorted(jobs, key=rank)[:most]}
    return [job for job in jobs if job.job_id in chosen]


def left_out(sheet: PageData, shown: int) -> Safe | None:
    """Return a note on the jobs that are not shown; None if all are."""
    left = len(sheet.report.jobs) - shown
    if left <= 0:
        return None
    return tag(
        "p",
        f"{plural(left, 'job')} of {len(sheet.report.jobs):,} left out here. Shown are failed, "
        "then unfinished jobs, the critical path, repeated attempts, the longest. ",
        tag("code", f"spawn queue status {sheet.report.queue_id} --json"),
        " lists all.",
        class_="soft",
    )
