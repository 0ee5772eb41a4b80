"""Each failure at length: why, what it printed last, where its files are."""

from collections.abc import Iterator

from spawn.cli.render.page.html import Safe, section, tag
from spawn.cli.render.page.sheet import GLYPHS, Sheet
from spawn.cli.render.why import sentence
from spawn.cli.render.words import plural
from spawn.core.why.model import Why

MOST = 25
"""Failures that are told at length."""
_PAST = 12
_COMMAND = 600


def failures(sheet: Sheet) -> Safe | None:
    """The section of the failures, results that are not saved among them; None without any."""
    failed = [*sheet.state.failed, *sheet.state.unsaved]
    if not failed:
        return None
    told = [sheet.whys[job_id] for job_id in failed if job_id in sheet.whys]
    left = len(failed) - len(told)
    resume = f"spawn queue resume {sheet.report.target or sheet.report.queue_id}"
    then = " tries to save what is not saved again."
    if sheet.state.failed:
        resume += " --retry-failed"
        then = " tries what failed again; what waits for it then goes on."
    if sheet.report.origin is not None:
        resume += " --from-s3"
    return section(
        "failures",
        "Failures",
        (_article(sheet, why) for why in told),
        tag("p", f"{plural(left, 'failed job')} more in the table of jobs.", class_="soft")
        if left
        else None,
        tag(
            "p",
            "What to do: ",
            tag("code", resume),
            then,
        ),
    )


def _article(sheet: Sheet, why: Why) -> Safe:
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


def _where(sheet: Sheet, job_id: str) -> Iterator[Safe]:
    found = links(sheet, job_id)
    if found:
        yield tag("span", "Its output: ", found)
    elif sheet.folder(job_id):
        yield tag("span", "Its output: ", tag("code", sheet.folder(job_id)))


def links(sheet: Sheet, job_id: str) -> list[Safe]:
    """Links to a job's files that lie beside the page."""
    found: list[Safe] = []
    for name in ("stdout.log", "stderr.log", "results/"):
        if f"{job_id}/{name}" in sheet.there:
            found += [Safe(" ")] * bool(found)
            found.append(tag("a", name, href=f"./{job_id}/{name}"))
    return found
