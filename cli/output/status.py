"""A report as printed by `status`.

Source: the output of the manual page; additional lines follow those of the page.
"""

from collections.abc import Iterator
from datetime import datetime, tzinfo

from msgspec import Struct

from spawn.cli.output.style import GLYPHS, PLAIN, Style
from spawn.core.reports.model import JobReport, Replica, Report, Trouble
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.text import printable

RECENT = 4
"""Lines of output shown for a job."""
BLOCKS = 8
"""Maximum number of jobs shown in detail."""
_LEAST_FIRST = 17
"""Minimum width of the field after a job's state: `Started: 15:21:04`."""


def render(report: Report, zone: tzinfo | None, style: Style = PLAIN) -> Iterator[str]:
    """Yield the lines of a report.

    Args:
        zone: The time zone for all times; None: the machine's own.
    """
    yield from head(report, zone, style)
    yield ""
    yield counts(report)
    yield ""
    yield "Job Details:"
    columns = widths(report, zone, least=16)
    for job in report.jobs:
        yield from job_rows(job, report, columns, zone, style)
    blocks = [job for job in report.jobs if job.status in ("running", "failed")]
    for job in blocks[:BLOCKS]:
        yield ""
        yield from _current(job, zone) if job.status == "running" else _failed(job, zone)
    if len(blocks) > BLOCKS:
        yield ""
        yield f"… {len(blocks) - BLOCKS} more running or failed jobs; --json lists all"
    for block in foot(report, zone, style):
        yield ""
        yield from block


def head(report: Report, zone: tzinfo | None, style: Style) -> Iterator[str]:
    """Yield the first block: the queue, its instance, its status and times."""
    yield f"Queue: {report.queue_id}"
    if report.is_past:
        yield style("warning", as_of_line(report, zone))
    yield f"Instance: {report.instance_id}{_boot_state(report, zone)}"
    reason = f" ({printable(report.reason)})" if report.reason else ""
    yield f"Status: {style(report.status, report.status)}{reason}"
    yield from runner_lines(report, zone, style)
    if report.started_at is not None:
        yield f"Started: {format_time(report.started_at, zone)}"
    yield f"Elapsed: {duration(report.elapsed)}"
    if report.ended_at is not None:
        yield f"Ended: {format_time(report.ended_at, zone)}"
    if report.queue_name:
        yield f"Name: {printable(report.queue_name)}"


def _boot_state(report: Report, zone: tzinfo | None) -> str:
    """Return the state of an instance that has not started the queue yet; else empty."""
    if report.origin is None or not report.origin.booting:
        return ""
    how = "never started the queue, submitted" if report.runner_alive is False else "booting since"
    return f" ({how} {format_time(report.submitted_at, zone)})"


def as_of_line(report: Report, zone: tzinfo | None) -> str:
    """Return the line that marks a report of a time in the past."""
    return f"As of: {format_time(report.as_of, zone)}, in the past"


def runner_lines(report: Report, zone: tzinfo | None, style: Style) -> Iterator[str]:
    """Yield whether the queue has a runner, the report's source, and the runner's troubles."""
    if report.runner_alive is False and report.status in ("pending", "running"):
        yield style("warning", "Runner: none (stopped or died)")
    origin = report.origin
    if origin is not None:
        live = report.runner_alive is not None and origin.age is not None
        age = f" (as of {duration(origin.age or 0)} ago)" if live else ""
        yield f"Read from: {origin.location}{age}"
    for trouble in report.troubles:
        yield style("warning", trouble_text(trouble, zone))


def trouble_text(trouble: Trouble, zone: tzinfo | None) -> str:
    """Describe a trouble in one line."""
    hint = f"; {trouble.hint}" if trouble.hint else ""
    since = f"{trouble.since.astimezone(zone):%H:%M:%S}"
    return printable(f"Trouble since {since}: {trouble.text}{hint}")


def counts(report: Report) -> str:
    """Return the number of jobs in each state; states without jobs are omitted."""
    total = f"Jobs: {report.counts['total']} total"
    parts = [
        f"{count} {name}" for name, count in report.counts.items() if name != "total" and count
    ]
    return ", ".join([total, *parts])


class Columns(Struct, frozen=True):
    """Column widths of the job rows; `firsts` is the field after the state.

    `tight`: cut all longer fields; otherwise, only job ids are cut. `brief`: attempts without their
    label. `last`: whether the last field is shown.
    """

    ids: int
    states: int
    firsts: int
    attempts: int
    tight: bool = False
    brief: bool = False
    last: bool = True


def widths(report: Report, zone: tzinfo | None, *, least: int) -> Columns:
    """Return the default columns, with at least `least` characters for job ids."""
    ids = max((len(job.job_id) for job in report.jobs), default=0)
    firsts = max((len(_first_field(job, report, zone)) for job in report.jobs), default=0)
    return Columns(ids=max(least, ids), states=12, firsts=max(20, min(40, firsts)), attempts=16)


def narrow(report: Report, zone: tzinfo | None, *, ids: int, width: int) -> Columns:
    """Return the narrowest columns that show attempts in full within `width`.

    Args:
        ids: Characters for job ids.
    """

    def longest(texts: Iterator[str]) -> int:
        return max(map(len, texts), default=0)

    jobs = report.jobs
    states = longest(job.status for job in jobs)
    firsts = longest(_first_field(job, report, zone) for job in jobs)
    size = longest(_last_field(job) for job in jobs) + 1
    for brief in (False, True):
        attempts = longest(_attempts(job, brief=brief) for job in jobs)
        left = width - len(f"  ✓ {'':<{ids}} {'':<{states}}  {'':<{attempts}}")
        if left >= min(firsts, _LEAST_FIRST):
            break
    last = left - size >= min(firsts, _LEAST_FIRST)
    firsts = min(firsts, max(_LEAST_FIRST, left - size * last))
    return Columns(ids, states, firsts, attempts, tight=True, brief=brief, last=last)


def job_rows(
    job: JobReport,
    report: Report,
    columns: Columns,
    zone: tzinfo | None,
    style: Style,
) -> Iterator[str]:
    """Yield a job's line and the detail lines below it."""
    glyph = style(job.status, GLYPHS[job.status])
    status = style(job.status, f"{job.status:<{columns.states}}")
    name = _cut(job.job_id, columns.ids)
    first = _first_field(job, report, zone)
    if columns.tight:
        first = _cut(first, columns.firsts)
    row = f"{name:<{columns.ids}} {status} {first:<{columns.firsts}} "
    row += f"{_attempts(job, brief=columns.brief):<{columns.attempts}}"
    if columns.last:
        row += f" {_last_field(job)}"
    yield f"  {glyph} {row.rstrip()}"
    if job.progress is not None:
        yield f"    └─ Progress: {printable(job.progress.text)}"
    if job.time_remaining is not None:
        yield f"    └─ Time remaining: ~{duration(job.time_remaining)} (est)"
    if job.status in ("failed", "retrying") and job.why:
        yield f"    └─ {printable(job.why)}"
    if job.unlogged_end:
        yield f"    └─ {job.unlogged_end}"
    if job.results in ("saving", "delayed") and not report.ended:
        yield "    └─ Results: being saved"


def foot(report: Report, zone: tzinfo | None, style: Style) -> Iterator[list[str]]:
    """Yield the last blocks: the results' location, what comes next, warnings."""
    places = []
    if report.results_location:
        places.append(f"Results Location: {report.results_location}")
    if report.replica is not None:
        places.append(style("warning", _replica(report.replica, zone)))
    if places:
        yield places
    coming = []
    if report.next_job is not None:
        after = f" (after {_completions(report.next_after)})" if report.next_after else ""
        coming.append(f"Next Job: {report.next_job}{after}")
    if report.estimated_completion is not None:
        coming.append(_estimated(report, zone))
    if coming:
        yield coming
    if report.origin is not None and report.origin.boot_log:
        lines = map(printable, report.origin.boot_log)
        yield ["Boot Log:", *(f"    {line}" for line in lines)]
    warnings = [style("warning", f"Warning: {printable(text)}") for text in _warnings(report)]
    if warnings:
        yield warnings


def format_time(moment: datetime, zone: tzinfo | None) -> str:
    """Format a time with its zone: `2026-01-27 14:05:32 PST`."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def exit_text(job: JobReport) -> str:
    """Format an exit code with its signal or timeout: `137 (SIGKILL)`."""
    if job.exit_code is None:
        return "none"
    if job.timed_out:
        return f"{job.exit_code} (timeout)"
    return f"{job.exit_code} ({job.signal})" if job.signal else str(job.exit_code)


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"


def _attempts(job: JobReport, *, brief: bool) -> str:
    return f"{'' if brief else 'Attempts: '}{job.attempts}/{job.max_attempts}"


def _first_field(job: JobReport, report: Report, zone: tzinfo | None) -> str:
    match job.status:
        case "completed" | "failed":
            return f"Duration: {duration(job.duration or 0)}"
        case "running" if job.unlogged_end:
            return "" if job.duration is None else f"Duration: {duration(job.duration)}"
        case "running" if job.started_at is not None:
            started = job.started_at.astimezone(zone)
            today = started.date() == report.as_of.astimezone(zone).date()
            return f"Started: {started:%H:%M:%S}" if today else f"Started: {started:%b %d %H:%M}"
        case "retrying" if not report.ended and report.status != "interrupted":
            return f"Retry in: {duration(job.retry_in or 0)}"
    if job.blocked_by:
        more = f" +{len(job.blocked_by) - 1}" if len(job.blocked_by) > 1 else ""
        return f"Blocked by: {job.blocked_by[0]}{more}"
    if job.status == "pending" and report.status == "running" and report.next_job:
        if report.runner_alive is False:
            return "Waiting: a runner"
        held = any(trouble.holds for trouble in report.troubles)
        return "Waiting: trouble" if held else "Waiting: its turn"
    return ""


def _last_field(job: JobReport) -> str:
    if job.status == "running" and not job.unlogged_end:
        return f"PID: {job.pid}" if job.pid else ""
    if job.exit_code is None or job.status == "pending":
        return ""
    return f"Exit: {exit_text(job)}"


def _current(job: JobReport, zone: tzinfo | None) -> Iterator[str]:
    yield f"Current Job ({job.job_id}):"
    yield f"  Command: {printable(job.config.command)}"
    if job.started_at is not None:
        yield f"  Started: {format_time(job.started_at, zone)}"
    if job.unlogged_end:
        if job.ended_at is not None:
            yield f"  Ended: {format_time(job.ended_at, zone)}"
        yield f"  Exit: {exit_text(job)}"
        yield from _output("Last Output:", job, job.recent[-RECENT:])
        return
    yield f"  Elapsed: {duration(job.elapsed or 0)}"
    if job.config.timeout is not None:
        left = duration(job.timeout_remaining or 0)
        yield f"  Timeout: {duration(job.config.timeout)} ({left} remaining)"
    yield f"  Retry: {job.attempts}/{job.max_attempts}"
    if job.pid:
        yield f"  PID: {job.pid}"
    yield from _output("Recent Output:", job, job.recent)


def _failed(job: JobReport, zone: tzinfo | None) -> Iterator[str]:
    yield f"Failed Job ({job.job_id}):"
    yield f"  Command: {printable(job.config.command)}"
    if job.ended_at is not None:
        yield f"  Ended: {format_time(job.ended_at, zone)}"
    yield f"  Exit: {exit_text(job)}"
    yield f"  Reason: {printable(job.why)}"
    yield from _output("Last Output:", job, job.last_lines)


def _output(title: str, job: JobReport, lines: tuple[str, ...]) -> Iterator[str]:
    if job.log_file:
        yield f"  Log: {job.log_file}"
    if lines:
        yield ""
        yield f"  {title}"
        for line in lines[-RECENT:] if title.startswith("Recent") else lines:
            yield f"    {printable(line)}"


def _estimated(report: Report, zone: tzinfo | None) -> str:
    assert report.estimated_completion is not None
    left = (report.estimated_completion - report.as_of).total_seconds()
    at = format_time(report.estimated_completion, zone)
    return f"Estimated Completion: {at} ({duration(left)}){not_estimated(report)}"


def not_estimated(report: Report) -> str:
    """Name the jobs that the estimate does not include; else empty."""
    jobs = report.estimated_without
    return f", without {_names(jobs)} (duration unknown)" if jobs else ""


def _replica(replica: Replica, zone: tzinfo | None) -> str:
    plural = "" if replica.behind == 1 else "s"
    since = "" if replica.since is None else f" since {replica.since.astimezone(zone):%H:%M:%S}"
    why = f" ({printable(replica.trouble)})" if replica.trouble else ""
    return f"Replica: {replica.behind} event{plural} behind {replica.location}{since}{why}"


def _completions(job_ids: tuple[str, ...]) -> str:
    return f"{_names(job_ids)} {'completes' if len(job_ids) == 1 else 'complete'}"


def _names(job_ids: tuple[str, ...]) -> str:
    return ", ".join(job_ids[:3]) + (f" and {len(job_ids) - 3} more" if len(job_ids) > 3 else "")


def _warnings(report: Report) -> Iterator[str]:
    resume = report.resume
    if report.origin is not None and report.origin.boot_log:
        yield f"the setup of its instance failed; {resume}"
        return
    if report.status == "interrupted":
        yield f"the queue was interrupted; {resume}"
    elif report.runner_alive is False and not report.ended:
        yield f"the queue has no runner; {resume}"
    yield from report.warnings
