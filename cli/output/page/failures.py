"""Each failure in detail: its cause, its last output, its files."""

from collections import Counter

from spawn.cli.output.page.data import PageData
from spawn.cli.output.why import sentence

MOST = 25
"""Maximum number of failures shown in detail."""
_EARLIER = 12


def failures(sheet: PageData) -> dict[str, object]:
    """Return the failed jobs and jobs with unsaved results, and the command that retries them.

    `shown` has their facts in words, with `earlier` facts oldest first; `left` counts the others.
    """
    state, report = sheet.state, sheet.report
    failed = [*state.failed, *state.upload_failed]
    blocked = Counter(job.blocked_by for job in state.jobs.values())
    shown = [
        _in_detail(sheet, job_id) | {"blocks": blocked[job_id]}
        for job_id in failed
        if job_id in sheet.whys
    ]
    retry = " --retry-failed" if state.failed else ""
    source = " --from-s3" if report.origin is not None else ""
    return {
        "shown": shown,
        "left": len(failed) - len(shown),
        "resume": f"spawn queue resume {report.target or report.queue_id}{retry}{source}",
    }


def _in_detail(sheet: PageData, job_id: str) -> dict[str, object]:
    why, job = sheet.whys[job_id], sheet.state.jobs[job_id]
    earlier = [fact for fact in why.facts if fact.before]
    return {
        "job_id": job_id,
        "command": job.config.command,
        "facts": [sentence(fact, why, sheet.zone) for fact in why.facts if not fact.before],
        "earlier": [sentence(fact, why, sheet.zone) for fact in earlier[-_EARLIER:]],
        "last_lines": "\n".join(job.last_lines),
    }
