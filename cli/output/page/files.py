"""The location of files: links to those next to the page, paths of the others."""

from spawn.cli.output.page.data import PageData
from spawn.cli.output.page.failures import links
from spawn.cli.output.page.html import Child, Safe, cell, section, table, tag
from spawn.cli.output.results import format_size
from spawn.core.values.text import plural

ROWS = 300


def files(sheet: PageData) -> Safe | None:
    """Return the files section; None while no attempt has ended."""
    jobs = [job for job in sheet.report.jobs if sheet.folder(job.job_id)]
    if not jobs:
        return None
    queue_id = sheet.report.queue_id
    linked = any(links(sheet, job.job_id) for job in jobs)
    note: Child = (
        (
            "The links lead to files next to this page, downloaded by ",
            tag("code", "spawn queue results"),
            ".",
        )
        if linked
        else (tag("code", f"spawn queue results {queue_id}"), " downloads them.")
    )
    left = len(jobs) - ROWS
    saved = any(sheet.state.jobs[job.job_id].uploaded for job in jobs)
    heads = ["Job", *["Next to this page"] * linked, *["Results"] * saved, "Stored in"]
    return section(
        "files",
        "Files",
        table(note, heads, (_row(sheet, job.job_id, heads) for job in jobs[:ROWS])),
        tag("p", f"{plural(left, 'more job')} with the same layout.", class_="soft")
        if left > 0
        else None,
    )


def _row(sheet: PageData, job_id: str, heads: list[str]) -> Safe:
    saved = sheet.state.jobs[job_id].uploaded
    results = None
    if saved and saved.files:
        results = f"{plural(saved.files, 'file')}, {format_size(saved.size)}"
    values: dict[str, Child] = {
        "Next to this page": links(sheet, job_id),
        "Results": results,
        "Stored in": tag("code", sheet.folder(job_id)),
    }
    return tag(
        "tr",
        tag("th", job_id, scope="row"),
        (cell(head, values[head]) for head in heads[1:]),
    )
