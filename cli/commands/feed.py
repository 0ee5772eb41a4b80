"""`spawn queue feed`."""

from typing import Annotated

import typer


def feed(
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="PORT",
            help="Port on 127.0.0.1 to listen on (default: 27296); 0 selects a free port.",
            envvar="SPAWN_FEED_PORT",
            min=0,
            max=65535,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve this machine's queues to clients that connect over SSH.

    The feed is read-only, listens on 127.0.0.1 and answers only this user and root. It runs until
    it is stopped: start it from a service manager. Exit code 0 if a feed is already running.

    Examples:
        spawn queue feed
        spawn queue feed --port 0
    """
    import os

    from spawn.runner.interpreter import python_command
    from spawn.store.feed.requests import PORT_VARIABLE

    if port is not None:
        os.environ[PORT_VARIABLE] = str(port)
    # A long-lived process should not keep the modules of the command line in memory.
    words = python_command("spawn.runner.feed")
    os.execv(words[0], words)
