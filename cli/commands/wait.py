"""`spawn queue wait`."""

from typing import Annotated

import typer

UNOWNED_SECONDS = 15.0
"""How long a queue may be without a runner: a service may be about to start it again."""


def wait(
    queue_id: Annotated[
        str, typer.Argument(metavar="QUEUE-ID", help="A queue id, or `local`.", show_default=False)
    ],
) -> None:
    """Wait for a queue's end, and print how it has ended.

    Exit code 0: completed; 1: failed, cancelled or interrupted, or nobody runs it.
    """
    import sys
    import time

    from spawn.cli import bootstrap
    from spawn.cli.follow import summary
    from spawn.cli.render.style import style_for
    from spawn.core.errors import SpawnError

    with bootstrap.find(queue_id) as source:
        owned_at = time.monotonic()
        while True:
            alive = source.runner_alive()  # asked first: what it wrote is then there to be read
            source.refresh()
            if source.state.state not in ("pending", "running"):
                break
            if alive:
                owned_at = time.monotonic()
            elif time.monotonic() - owned_at > UNOWNED_SECONDS:
                raise SpawnError(
                    f"queue {source.queue_id} is {source.state.state} and nobody runs it",
                    hint=f"`spawn queue resume {source.queue_id}` goes on with it",
                )
            time.sleep(1)
        report = source.report(bootstrap.now())
    print(report.status, flush=True)
    print("\n".join(summary(report, style_for(sys.stderr))), file=sys.stderr)
    raise typer.Exit(0 if report.status == "completed" else 1)
