"""Each failure in detail: its cause, its last output, its files."""

from collections.abc import Iterator

from spawn.cli.output.page.data import GLYPHS, PageData
from spawn.cli.output.page.html import Safe, section, tag
from spawn.cli.output.why import sentence
from spawn.core.reports.why.model import Explanation
from spawn.core.values.text import plural

MOST = 25
"""Maximum number of failures shown in detail."""
_PAST = 12
_COMMAND = 600


def failures(sheet: PageData) -> Safe | None:
    """Return the section of failed jobs and jobs with unsaved results; None without any."""
    failed = [*sheet.state.failed, *sheet.state.upload_failed]
    if not failed:
        return None
    shown = [sheet.whys[job_id] for job_id in failed if job_id in sheet.whys]
    left = len(failed) - len(shown)
    resume = f"spawn queue resume {sheet.report.target or sheet.report.queue_id}"
    then = " retries the upload of unsaved results."
    if sheet.state.failed:
        resume += " --retry-failed"
        then = " retries the failed jobs, then runs their dependents."
    if sheet.report.origin is not None:
        resume += " --from-s3"
    return section(
        "failures",
        "Failures",
        (_article(sheet, why) for why in shown),
        tag("p", f"{plural(left, 'more failed job')} in the table of jobs.", class_="soft")
        if left
        else None,
        tag(
            "p",
            "What to do: ",
            tag("code", resume),
            then,
        ),
    )


def _article(sheet: PageData, why: Explanation) -> Safe:
    command = sheet.state.jobs[why.job_id].config.command
    lines = sheet.state.jobs[why.job_id].last_lines
    now = [fact for fact in why.facts if not fact.before]
    past = [fact for fact in why.facts if fact.before]
    waiting = sum(job.blocked_by == why.job_id for job in sheet.state.jobs.values())
    return tag(
        "article",
        tag("h3", tag("span", GLYPHS["failed"], class_="failed"), f" {why.job_id}"),
        (tag("p", sentence(fact, why, sheet.zone)) for fact in now),
        tag("p", f"{plural(waiting, 'job')} blocked by it.") if waiting else None,
        tag("p", tag("code", command[:_COMMAND] + "…" * (len(command) > _COMMAND))),
        tag("pre", "\n".join(lines), aria_label=f"Last lines of {why.job_id}") if lines else None,
        tag("ul", (tag("li", sentence(fact, why, sheet.zone)) for fact in past[-_PAST:]))
        if past
        else None,
        tag("p", _where(sheet, why.job_id), class_="soft"),
        id=f"failure-{why.job_id}",
    )


def _where(sheet: PageData, job_id: str) -> Iterator[Safe]:
    found = links(sheet, job_id)
    if found:
        yield tag("span", "Its output: ", found)
    elif sheet.folder(job_id):
        yield tag("span", "Its output: ", tag("code", sheet.folder(job_id)))


def links(sheet: PageData, job_id: str) -> list[Safe]:
    """Return links to a job's files next to the page."""
    found: list[Safe] = []
    for name in ("stdout.log", "stderr.log", "results/"):
        if f"{job_id}/{name}" in sheet.files_beside:
            found += [Safe(" ")] * bool(found)
            found.append(tag("a", name, href=f"./{job_id}/{name}"))
    return found
