"""The rows of the page's tables: critical path, jobs, files, audit."""

from collections.abc import Iterator

from spawn.cli.output.history import describe
from spawn.cli.output.page.data import PageData, short
from spawn.cli.output.page.timeline import exit_words
from spawn.cli.output.results import format_size
from spawn.core.domain.events import JobReset
from spawn.core.domain.state import JobState
from spawn.core.reports.model import JobReport
from spawn.core.reports.timeline.path import PathStep
from spawn.core.values.text import plural
from spawn.core.values.timestamps import parse_timestamp

_STEPS = 40
_JOBS = 1000
_FILES = 300
_JOB_COLUMNS = (
    "Attempts", "Started", "Duration", "Exit", "CPU", "Peak memory", "Results", "Notes",
)  # fmt: skip
_WAITS = {
    "needs": "for a dependency",
    "saving": "for results to be saved",
    "turn": "for its turn",
    "retry": "for retries",
    "blocked": "blocked",
    "rest": "for a reset",
    "unseen": "until its end was logged",
    "unowned": "while the queue had no runner",
    "absent": "until it was in the configuration",
    "folded": "in older attempts and their waits",
    "tail": "until the end",
}


def path_table(sheet: PageData) -> dict[str, object]:
    """Return the longest steps of the critical path, each with its parts in words.

    `left` has the seconds of the other steps.
    """
    found = [step for step in sheet.path if step.job_id or step.seconds >= 0.5]
    longest = {id(step) for step in sorted(found, key=lambda step: -step.seconds)[:_STEPS]}
    return {
        "rows": [(step, ", ".join(_parts(step))) for step in found if id(step) in longest],
        "left": [step.seconds for step in found if id(step) not in longest],
    }


def _parts(step: PathStep) -> Iterator[str]:
    runs = [span for span in step.spans if span.kind == "run"]
    if runs:
        ran = short(step.total("run"))
        yield f"ran {ran}" + (f" in {len(runs)} attempts" if len(runs) > 1 else "")
    first = sum(s.seconds for s in step.spans if s.kind == "unowned" and s.start == 0)
    if first >= 0.5:
        yield f"waited {short(first)} for a runner to start"
    for kind, words in _WAITS.items():
        seconds = step.total(kind) - (first if kind == "unowned" else 0.0)
        if seconds >= 0.5:
            verb = "" if kind in ("blocked", "folded", "tail") else "waited "
            yield f"{verb}{short(seconds)} {words}"


def job_table(sheet: PageData) -> dict[str, object]:
    """Return each job with its values by column; `columns` has those that are not empty."""
    rows = [(job, _job_values(sheet, job)) for job in sheet.select_jobs(_JOBS)]
    columns = [column for column in _JOB_COLUMNS if any(values[column] for _, values in rows)]
    return {"rows": rows, "columns": columns}


def _job_values(sheet: PageData, job: JobReport) -> dict[str, str]:
    state, line = sheet.state.jobs[job.job_id], sheet.timeline.lines[job.job_id]
    number = len(line.attempts) + line.folded
    in_all = f" ({number} in all)" if number > job.attempts else ""
    took = job.duration if job.elapsed is None else job.elapsed
    cpu = state.outcome.cpu_seconds if state.outcome else 0.0
    memory = state.outcome.peak_memory_bytes if state.outcome else 0
    ended = job.status != "running" or job.unlogged_end
    return {
        "Attempts": f"{job.attempts}/{job.max_attempts}{in_all}",
        "Started": sheet.clock(line.attempts[-1].start) if line.attempts else "",
        "Duration": "" if took is None else short(took),
        "Exit": exit_words(job.exit_code, job.signal, timed_out=job.timed_out) if ended else "",
        "CPU": short(cpu) if cpu else "",
        "Peak memory": format_size(memory) if memory else "",
        "Results": _results(sheet, job.job_id),
        "Notes": "; ".join(_notes(job, state)),
    }


def _results(sheet: PageData, job_id: str) -> str:
    if job_id in sheet.state.uploading:
        return "being saved"
    state = sheet.state.jobs[job_id]
    return _saved(state) if state.upload_failed is None else "not saved"


def _saved(state: JobState) -> str:
    saved = state.uploaded
    if saved is None or not saved.files:
        return ""
    return f"{plural(saved.files, 'file')}, {format_size(saved.size)}"


def _notes(job: JobReport, state: JobState) -> Iterator[str]:
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


def file_table(sheet: PageData) -> dict[str, object]:
    """Return each job's files next to the page, saved results and folder.

    `linked` and `saved` say whether any job has files next to the page, or saved results.
    """
    jobs = [job.job_id for job in sheet.report.jobs if sheet.folder(job.job_id)]
    states = sheet.state.jobs
    return {
        "rows": [
            (job_id, sheet.linked_files(job_id), _saved(states[job_id]), sheet.folder(job_id))
            for job_id in jobs[:_FILES]
        ],
        "left": max(0, len(jobs) - _FILES),
        "linked": any(sheet.linked_files(job_id) for job_id in jobs),
        "saved": any(states[job_id].uploaded for job_id in jobs),
    }


def audit_table(sheet: PageData) -> Iterator[tuple[str, int, str]]:
    """Yield time, seq and text of owners, resets, requests and configuration changes."""
    for entry in sheet.timeline.audit:
        event, text = entry.event, describe(entry.event)
        if isinstance(event.data, JobReset):
            more = f" and {entry.more} more" if entry.more else ""
            text = f"{', '.join(entry.jobs)}{more}: {text}"
        if not event.job_id:
            text = text[:1].upper() + text[1:]
        yield sheet.when(parse_timestamp(event.at)), event.seq, text
