"""`spawn queue wait`."""

from typing import TYPE_CHECKING

import typer

from spawn.cli.flags import QueueId, Where
from spawn.cli.located import located

if TYPE_CHECKING:
    from spawn.core.report.model import Report

LOOK_SECONDS = 5.0
"""How often a source is looked at that can wait for news meanwhile."""
UNOWNED_SECONDS = 15.0
"""How long a queue may be without a runner: a service may be about to start it again."""


@located
def wait(
    queue_id: QueueId,
    *,
    where: Where,
) -> None:
    """Wait for a queue's end, and print how it has ended.

    Exit code 0: completed; 1: failed, cancelled or interrupted, or nobody runs it.
    """
    import sys
    import time

    from spawn.cli import bootstrap
    from spawn.cli.follow import summary
    from spawn.cli.patience import Patience
    from spawn.cli.pause import Waits, pause
    from spawn.cli.render.status import trouble_text
    from spawn.cli.render.style import style_for
    from spawn.core.ids import is_instance_id

    if is_instance_id(queue_id):
        bootstrap.say(f"Asking {queue_id}; one that does not answer takes a while to be known.")
    with bootstrap.find(queue_id, where=where) as source:
        patience = Patience()
        owned_at = time.monotonic()
        alive, known = source.runner_alive(), True  # asked first: what it wrote is then there
        source.refresh()
        told: set[str] = set()
        while source.state.state in ("pending", "running"):
            present = {trouble_text(each, None) for each in source.troubles()}
            for text in sorted(present - told):
                bootstrap.say(text)
            told = present
            if alive or not known:
                owned_at = time.monotonic()
            elif time.monotonic() - owned_at > UNOWNED_SECONDS:
                raise _left(source.report(bootstrap.now()))
            seconds = LOOK_SECONDS if isinstance(source, Waits) else max(1.0, source.poll_seconds)
            pause(source, seconds)
            alive, known = source.runner_alive(), patience.refresh(source)
        report = source.report(bootstrap.now())
    print(report.status, flush=True)
    print("\n".join(summary(report, style_for(sys.stderr))), file=sys.stderr)
    raise typer.Exit(0 if report.status == "completed" else 1)


def _left(report: "Report") -> Exception:
    """Say that nobody runs a queue which has not ended, and since when, if it ran elsewhere."""
    from spawn.cli import bootstrap
    from spawn.core.durations import text as duration
    from spawn.core.errors import SpawnError

    why = "; ".join(f"{job.job_id} {job.unnoticed}" for job in report.jobs if job.unnoticed)
    if report.origin is not None:
        if report.origin.boot_log:
            why = "its instance failed to boot"
        elif report.origin.heard_at is not None:
            ago = duration((bootstrap.now() - report.origin.heard_at).total_seconds())
            why = f"its runner was last heard of {ago} ago"
    return SpawnError(
        f"queue {report.queue_id} is {report.status} and nobody runs it",
        why=why,
        hint=report.resume,
    )
