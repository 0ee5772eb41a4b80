"""Collect the data of a report page, in one pass for state and times and one for failures."""

from collections.abc import Callable, Iterable
from datetime import datetime, tzinfo
from itertools import islice

from msgspec import structs

from spawn.cli.output.page.data import PageData
from spawn.cli.output.page.failures import MOST
from spawn.cli.sources.queue import QueueSource
from spawn.core.domain.replay import Row
from spawn.core.domain.state import QueueState
from spawn.core.reports.build import build
from spawn.core.reports.model import LiveData, Report
from spawn.core.reports.timeline.collect import Collector
from spawn.core.reports.timeline.path import critical_path
from spawn.core.reports.why.explain import collect_history, explain
from spawn.core.reports.why.model import Explanation
from spawn.core.values.timestamps import format_timestamp


def collect_sheet(
    source: QueueSource,
    now: datetime,
    *,
    past: bool = False,
    zone: tzinfo | None = None,
    there: frozenset[str] = frozenset(),
) -> PageData:
    """Collect the data of a page.

    State, report and timeline come from one read of the log, so that they agree while the queue
    runs.

    Args:
        past: Whether `now` is a past moment.
        zone: Time zone of the page; None: the local one.
        there: Files next to the page, as `JOB/NAME`.
    """
    collector = Collector(source.queue_id)
    collector.feed(source.rows(), until=format_timestamp(now) if past else None)
    state = collector.fold.state
    seen = source.report(now, past=past)
    if not past and seen.origin is not None and not state.ended_at:
        now = min(now, seen.as_of)  # nothing later is known of a silent runner
    report = build(state, now, past=True) if past else _report(state, seen, now)
    report = structs.replace(report, instance_id=seen.instance_id)
    timeline = collector.timeline(now=_timeline_end(report, now))
    for job in report.jobs:
        if job.unlogged_end and job.duration is not None:
            attempt = timeline.lines[job.job_id].attempts[-1]
            attempt.wall_seconds = job.duration
            attempt.ran_until = attempt.start + job.duration
    return PageData(
        state=state,
        report=report,
        timeline=timeline,
        path=critical_path(timeline),
        whys=explain_failures(state, source.rows, now=now, last=collector.fold.seq),
        zone=zone,
        files_beside=there,
    )


def _timeline_end(report: Report, now: datetime) -> datetime | None:
    """The end of the timeline; None: the newest event. Without a runner on this machine, only jobs
    that outlived it still change."""
    runs = any(job.status == "running" and not job.unlogged_end for job in report.jobs)
    if report.runner_alive is not False or report.origin is not None or runs:
        return now
    ends = (job.ended_at for job in report.jobs if job.unlogged_end and job.ended_at)
    return max(ends, default=None)


def explain_failures(
    state: QueueState, rows: Callable[[], Iterable[Row]], *, now: datetime, last: int
) -> dict[str, Explanation]:
    """Explain the first failed jobs and unsaved results, by job id."""
    failed = list(islice((*state.failed, *state.upload_failed), MOST))
    if not failed:
        return {}
    history = collect_history(state, rows(), failed, last=last)
    return {job_id: explain(state, history, job_id, now=now) for job_id in failed}


def _report(state: QueueState, seen: Report, now: datetime) -> Report:
    """Report a state, with what the source knows of the machine."""
    live = {
        job.job_id: LiveData(progress=job.progress, recent=job.recent, log_file=job.log_file)
        for job in seen.jobs
        if job.job_id in state.jobs
    }
    alive = None if state.ended else seen.runner_alive
    report = build(
        state, now, live=live, runner_alive=alive, replica=seen.replica, troubles=seen.troubles
    )
    expected = seen.estimated_completion if not state.ended_at else None
    ended = {job.job_id: job for job in seen.jobs if job.unlogged_end}
    jobs = tuple(
        ended[job.job_id] if job.status == "running" and job.job_id in ended else job
        for job in report.jobs
    )
    return structs.replace(
        report,
        jobs=jobs,
        estimated_completion=expected,
        estimated_without=seen.estimated_without,
        origin=seen.origin,
    )
