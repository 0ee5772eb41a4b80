"""The table of jobs."""

from collections.abc import Iterator

from spawn.cli.output.page.data import GLYPHS, PageData, short
from spawn.cli.output.page.html import Child, Safe, cell, section, table, tag
from spawn.cli.output.page.job_selection import choose, left_out
from spawn.cli.output.page.timeline import exit_words
from spawn.cli.output.results import format_size
from spawn.core.reports.model import JobReport
from spawn.core.values.text import plural

ROWS = 1000
_COMMAND = 160
HEADS = (
    "State", "Attempts", "Started", "Duration", "Exit", "CPU", "Peak memory", "Results",
    "Notes",
)  # fmt: skip


def jobs(sheet: PageData) -> Safe:
    """Return the jobs section; empty columns are omitted."""
    shown = choose(sheet, ROWS)
    values = [_values(sheet, job) for job in shown]
    heads = [head for head in HEADS if any(row[head] for row in values)]
    return section(
        "jobs",
        "Jobs",
        table(
            "In the order of the configuration. Durations, exit codes, CPU times and memory are "
            "those of the newest attempt.",
            ("Job", *heads),
            (_row(job, row, heads) for job, row in zip(shown, values, strict=True)),
        ),
        left_out(sheet, len(shown)),
    )


def _row(job: JobReport, values: dict[str, Child], heads: list[str]) -> Safe:
    command = job.config.command
    shown = command if len(command) <= _COMMAND else f"{command[:_COMMAND]}…"
    return tag(
        "tr",
        tag("th", job.job_id, tag("span", shown, class_="what", title=shown), scope="row"),
        (cell(head, values[head], number=head != "Notes") for head in heads),
        id=f"job-{job.job_id}",
    )


def _values(sheet: PageData, job: JobReport) -> dict[str, Child]:
    outcome = sheet.state.jobs[job.job_id].outcome
    line = sheet.timeline.lines[job.job_id]
    number = len(line.attempts) + line.folded
    tries = f"{job.attempts}/{job.max_attempts}"
    if number > job.attempts:
        tries += f" ({number} in all)"
    took = job.duration if job.elapsed is None else job.elapsed
    cpu = outcome.cpu_seconds if outcome else 0.0
    memory = outcome.peak_memory_bytes if outcome else 0
    return {
        "State": tag("span", f"{GLYPHS[job.status]} {job.status}", class_=job.status),
        "Attempts": tries,
        "Started": sheet.clock(line.attempts[-1].start) if line.attempts else "",
        "Duration": "" if took is None else short(took),
        "Exit": _exit(job),
        "CPU": short(cpu) if cpu else "",
        "Peak memory": format_size(memory) if memory else "",
        "Results": _results(sheet, job),
        "Notes": "; ".join(_notes(sheet, job)),
    }


def _exit(job: JobReport) -> str:
    if job.status == "running" and not job.unlogged_end:
        return ""
    return exit_words(job.exit_code, job.signal, timed_out=job.timed_out)


def _results(sheet: PageData, job: JobReport) -> str | None:
    state = sheet.state.jobs[job.job_id]
    if job.job_id in sheet.state.uploading:
        return "being saved"
    if state.upload_failed is not None:
        return "not saved"
    if state.uploaded is not None and state.uploaded.files:
        return f"{plural(state.uploaded.files, 'file')}, {format_size(state.uploaded.size)}"
    return None


def _notes(sheet: PageData, job: JobReport) -> Iterator[str]:
    state = sheet.state.jobs[job.job_id]
    if job.blocked_by:
        more = f" and {len(job.blocked_by) - 3} more" if len(job.blocked_by) > 3 else ""
        yield f"waits for {', '.join(job.blocked_by[:3])}{more}"
    if job.status in ("failed", "retrying") and job.why:
        yield job.why
    if job.status == "pending" and job.attempt and job.why:
        yield f"interrupted: {job.why}"
    if job.unlogged_end:
        yield job.unlogged_end
    if job.progress is not None:
        yield job.progress.text
    if state.unmatched:
        yield f"no file matches {', '.join(state.unmatched)}"
    if state.left_out:
        yield f"not kept: {', '.join(state.left_out)}"
    if state.upload_failed is not None:
        yield state.upload_failed.error
    outcome = state.outcome
    if outcome is not None and outcome.output_dropped_bytes:
        yield f"{format_size(outcome.output_dropped_bytes)} of output could not be written"
