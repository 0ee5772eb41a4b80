"""`spawn queue list`."""

from typing import Annotated

import typer


def list_queues(
    json: Annotated[bool, typer.Option("--json", help="Output in JSON format.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only ids, newest first.")] = False,
) -> None:
    """List the queues of this machine, newest first."""
    import sys

    from spawn.cli import bootstrap
    from spawn.cli.render.listing import as_json, table
    from spawn.cli.render.style import style_for
    from spawn.cli.sources.listing import listing
    from spawn.store import queues

    here = bootstrap.machine()
    if quiet:
        for name in queues.names(here):
            print(name)
        return
    entries = list(listing(here, bootstrap.now()))
    if json:
        print(as_json(entries))
    elif entries:
        print("\n".join(table(entries, style_for(sys.stdout))))
    else:
        print("No queues on this machine yet: `spawn queue run FILE` runs one.", file=sys.stderr)
