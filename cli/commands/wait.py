"""`spawn queue wait`."""

from typing import TYPE_CHECKING

import typer

from spawn.cli.flags import LocationFlags, QueueId
from spawn.cli.support.location_flags import with_location_flags

if TYPE_CHECKING:
    from spawn.core.reports.model import Report

REFRESH_SECONDS = 5.0
"""Refresh interval of a source that can wait for changes meanwhile."""
UNOWNED_SECONDS = 15.0
"""How long a queue may be without a runner: a service manager may be about to restart it."""


@with_location_flags
def wait(
    queue_id: QueueId,
    *,
    where: LocationFlags,
) -> None:
    """Wait until a queue ends, and print its status.

    Exit code 0: completed; 1: failed, cancelled or interrupted, or its runner has stopped.

    Examples:
        spawn queue wait pipeline-20260127
        spawn queue wait i-0123456789abcdef0 && spawn terminate i-0123456789abcdef0 --yes
    """
    import sys
    import time

    from spawn.cli import bootstrap, host
    from spawn.cli.output.queue_summary import summary
    from spawn.cli.output.status import trouble_text
    from spawn.cli.output.style import style_for
    from spawn.cli.support.outage_retry import OutageRetry, WaitingSource, wait_for_change
    from spawn.core.values.ids import is_instance_id

    if is_instance_id(queue_id):
        host.say(f"Connecting to {queue_id}; this takes a while if it does not answer")
    with bootstrap.find_queue(queue_id, where=where) as source:
        retry = OutageRetry()
        owned_at = time.monotonic()
        # The runner is checked before the refresh, so that all that a dead runner wrote is read.
        alive, known = source.runner_alive(), True
        source.refresh()
        shown: set[str] = set()
        while source.state.state in ("pending", "running"):
            present = {trouble_text(each, None) for each in source.troubles()}
            for text in sorted(present - shown):
                host.say(text)
            shown = present
            if alive or not known:
                owned_at = time.monotonic()
            elif time.monotonic() - owned_at > UNOWNED_SECONDS:
                raise _abandoned_error(source.report(host.now()))
            waits = isinstance(source, WaitingSource)
            seconds = REFRESH_SECONDS if waits else max(1.0, source.poll_seconds)
            wait_for_change(source, seconds)
            alive, known = source.runner_alive(), retry.refresh(source)
        report = source.report(host.now())
    print(report.status, flush=True)
    print("\n".join(summary(report, style_for(sys.stderr))), file=sys.stderr)
    raise typer.Exit(0 if report.status == "completed" else 1)


def _abandoned_error(report: "Report") -> Exception:
    """The error for an unfinished queue whose runner has stopped."""
    from spawn.cli import host
    from spawn.core.errors import SpawnError
    from spawn.core.values.durations import format_duration as duration

    why = "; ".join(f"{job.job_id} {job.unlogged_end}" for job in report.jobs if job.unlogged_end)
    if report.origin is not None:
        if report.origin.boot_log:
            why = "its instance failed to boot"
        elif report.origin.lease_renewed_at is not None:
            ago = duration((host.now() - report.origin.lease_renewed_at).total_seconds())
            why = f"its runner was last heard from {ago} ago"
    return SpawnError(
        f"queue {report.queue_id} is unfinished, but its runner has stopped",
        why=why,
        hint=report.resume,
    )
