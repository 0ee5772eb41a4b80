"""`spawn connect`."""

from typing import Annotated, NoReturn

import typer

from spawn.cli.flags import Identity, InstanceId, InstanceRegion, Profile, SshUser, Where


def connect(
    instance_id: InstanceId,
    command: Annotated[
        str | None,
        typer.Option(
            "--command",
            "-c",
            metavar="COMMAND",
            help="Run it there by a shell, instead of a session; its exit code is ours.",
            show_default=False,
        ),
    ] = None,
    ssh_user: SshUser = None,
    identity: Identity = None,
    region: InstanceRegion = None,
    profile: Profile = None,
) -> None:
    """Log in to an instance, or run a command there, by the system's `ssh`.

    Your SSH configuration counts. Its host key is verified first, as for `spawn queue status`.
    """
    from spawn.cli import bootstrap
    from spawn.cli.sources.ec2 import expect_instance

    expect_instance(instance_id)
    from spawn.cli.remote.log_in import log_in

    where = Where(region=region, profile=profile, ssh_user=ssh_user, identity=identity)
    _become(log_in(instance_id, bootstrap.machine(), where, command))


def _become(words: list[str]) -> NoReturn:
    """Go on as another program, which has our terminal, streams and signals."""
    import os
    import signal
    import sys

    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and ssh would inherit that
    os.execvp(words[0], words)
