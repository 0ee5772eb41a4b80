"""Which jobs are shown of a queue that has more of them than a page should."""

from spawn.cli.render.page.html import Safe, tag
from spawn.cli.render.page.sheet import Sheet
from spawn.cli.render.words import plural
from spawn.core.report.model import JobReport

_URGENCY = {"failed": 0, "running": 1, "retrying": 1, "blocked": 4, "pending": 5, "completed": 3}


def choose(sheet: Sheet, most: int) -> list[JobReport]:
    """At most so many jobs, in the file's order.

    Jobs that failed come first, then those that run or will again, then the critical path, those
    that needed more than one attempt, the longest.
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


def left_out(sheet: Sheet, shown: int) -> Safe | None:
    """Say how many jobs are not shown, and where they are; None when all are."""
    left = len(sheet.report.jobs) - shown
    if left <= 0:
        return None
    return tag(
        "p",
        f"{plural(left, 'job')} of {len(sheet.report.jobs):,} left out here: failed ones come "
        "first, then those under way, the critical path, repeated attempts, the longest. ",
        tag("code", f"spawn queue status {sheet.report.queue_id} --json"),
        " has all.",
        class_="soft",
    )
