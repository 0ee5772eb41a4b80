"""`spawn queue feed`."""

from typing import Annotated

import typer


def feed(
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="PORT",
            help="On 127.0.0.1, 27296 unless told; 0: one that is free.",
            envvar="SPAWN_FEED_PORT",
            min=0,
            max=65535,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve this machine's queues to whoever asks it over SSH.

    Read-only, on 127.0.0.1, to this user and root. Stays until it is stopped; for a service
    manager. Exit code 0 also where such a feed is there already.
    """
    import os

    from spawn.core.feed.address import PORT_VARIABLE
    from spawn.runner.interpreter import python

    if port is not None:
        os.environ[PORT_VARIABLE] = str(port)
    # In a process without the command line's modules: it stays for long.
    words = python("spawn.runner.feed")
    os.execv(words[0], words)
