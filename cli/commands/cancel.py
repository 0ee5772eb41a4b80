"""`spawn queue cancel`."""

from typing import Annotated

import typer


def cancel(
    queue_id: Annotated[
        str, typer.Argument(metavar="QUEUE-ID", help="A queue id, or `local`.", show_default=False)
    ],
) -> None:
    """End a queue for good: what runs is stopped, nothing new starts.

    The queue is then `failed (cancelled)`. Exit code 1 when it had ended before.
    """
    import sys

    from spawn.cli import bootstrap
    from spawn.cli.ask import ask
    from spawn.cli.follow import ended
    from spawn.core.errors import SpawnError
    from spawn.runner.start import RunnerProcess, RunOrder

    with bootstrap.find_local(queue_id) as source:
        source.refresh()
        before = source.state.state if source.state.ended else ""
        if not before and source.runner_alive():
            print("Stopping what runs; its grace is up to kill_grace.", file=sys.stderr)
            ask(source, "cancel")
            source.refresh()
        if not source.state.ended:
            # Nobody runs it. A runner ends what may be left of its jobs, and says so in the log.
            roots = bootstrap.machine()
            order = RunOrder(
                task="cancel",
                queue_id=source.queue_id,
                state=str(roots.state),
                log=str(roots.log),
                cache=str(roots.cache),
            )
            ended(RunnerProcess(order))
            source.refresh()
        state = source.state
    if before or state.reason != "cancelled":
        raise SpawnError(
            f"queue {source.queue_id} has {state.state} already",
            why="it had ended before it could be cancelled",
        )
    print(f"Queue {source.queue_id} is cancelled")
