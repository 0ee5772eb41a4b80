"""A report as printed by `status --json`.

Source: the JSON of the manual page; additional keys follow those of the page.
"""

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Any

from spawn.core.reports.model import JobReport, Replica, ReplicaSource, Report, Trouble
from spawn.core.values.durations import format_compact


def as_json(report: Report, zone: tzinfo | None) -> dict[str, Any]:
    """Return a report as JSON data. Unknown values are omitted, except for the estimate (null).

    Args:
        zone: The time zone for all times; None: the machine's own.
    """
    shaped = _known(
        queue_id=report.queue_id,
        instance_id=report.instance_id,
        status=report.status,
        started_at=_when(report.started_at, zone),
        elapsed=format_compact(report.elapsed),
        jobs={
            key: report.counts[key]
            for key in ("total", "completed", "running", "pending", "failed", "retrying", "blocked")
        },
        job_details=[dict(_job(job, zone)) for job in report.jobs],
        results_location=report.results_location,
    )
    shaped["estimated_completion"] = _when(report.estimated_completion, zone)
    return shaped | _known(
        estimated_without=list(report.estimated_without) or None,
        queue_name=report.queue_name,
        reason=report.reason or None,
        submitted_at=_when(report.submitted_at, zone),
        ended_at=_when(report.ended_at, zone),
        next_job=report.next_job,
        runner_alive=report.runner_alive,
        replica=None if report.replica is None else _replica(report.replica, zone),
        troubles=[trouble(each, zone) for each in report.troubles],
        warnings=list(report.warnings) or None,
        lost_events=report.lost_events or None,
        as_of=_when(report.as_of, zone),
        past=report.is_past or None,
        read_from=None
        if report.origin is None
        else _origin(report.origin, zone, alive=report.runner_alive is not False),
    )


def _job(job: JobReport, zone: tzinfo | None) -> Iterator[tuple[str, Any]]:
    running = job.status == "running" and not job.unlogged_end
    timeout = job.config.timeout if running else None
    details = {
        "job_id": job.job_id,
        "status": job.status,
        "started_at": _when(job.started_at, zone) if running else None,
        "elapsed": _duration(job.elapsed),
        "timeout": _duration(timeout),
        "timeout_remaining": _duration(job.timeout_remaining),
        "duration": _duration(job.duration),
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "exit_code": None if running else job.exit_code,
        "pid": job.pid or None,
        "log_file": job.log_file or None,
        "signal": job.signal,
        "timed_out": job.timed_out or None,
        "why": job.why or None,
        "blocked_by": list(job.blocked_by) or None,
        "retry_at": _when(job.retry_at, zone),
        "retry_in": _duration(job.retry_in),
        "progress": None
        if job.progress is None
        else _known(
            text=job.progress.text,
            percent=int(job.progress.fraction * 100),
            current=job.progress.current,
            total=job.progress.total,
        ),
        "time_remaining": _duration(job.time_remaining),
        "last_lines": list(job.last_lines) or None,
        "attempt": job.attempt,
        "results": job.results or None,
        "depends_on": list(job.config.depends_on) or None,
        "ended_at": _when(job.ended_at, zone),
        "unnoticed": job.unlogged_end or None,
    }
    for key, value in details.items():
        if value is not None:
            yield key, value
    if not running and job.started_at is not None:
        yield "started_at", _when(job.started_at, zone)


def _replica(replica: Replica, zone: tzinfo | None) -> dict[str, Any]:
    return _known(
        location=replica.location,
        behind=replica.behind,
        since=_when(replica.since, zone),
        trouble=replica.trouble or None,
    )


def trouble(found: Trouble, zone: tzinfo | None) -> dict[str, Any]:
    """Return a trouble as JSON data."""
    return _known(
        kind=found.kind,
        since=_when(found.since, zone),
        what=found.what,
        why=found.why or None,
        hint=found.hint or None,
    )


def _origin(origin: ReplicaSource, zone: tzinfo | None, *, alive: bool) -> dict[str, Any]:
    return _known(
        location=origin.location,
        events=origin.events,
        last_event_at=_when(origin.last_at, zone),
        runner_heard_at=_when(origin.lease_renewed_at, zone),
        handed_back=origin.handed_back or None,
        booting=(origin.booting and alive) or None,
        boot_log=list(origin.boot_log) or None,
    )


def _known(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _when(moment: datetime | None, zone: tzinfo | None) -> str | None:
    return None if moment is None else moment.astimezone(zone).isoformat(timespec="seconds")


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else format_compact(seconds)
