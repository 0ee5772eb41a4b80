"""`spawn queue verify`."""

from typing import Annotated

import typer


def verify(
    queue_id: Annotated[
        str, typer.Argument(metavar="QUEUE-ID", help="A queue id, or `local`.", show_default=False)
    ],
) -> None:
    """Check that a queue's log is whole and legal.

    Nothing changed, nothing missing, every step allowed where it stands. Exit code 1 with the
    first event that is wrong.
    """
    from spawn.cli import bootstrap
    from spawn.store.log.verify import verify as verify_

    source = bootstrap.find(queue_id)
    verified = verify_(source.paths.events, source.queue_id)
    print(f"{source.queue_id}: {verified.events} events, the chain holds, every step is legal")
    print(f"Status: {verified.state.state}")
    print(f"Head: {verified.hash}")
