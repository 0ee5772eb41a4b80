"""`spawn connect`."""

from typing import Annotated, NoReturn

import typer

from spawn.cli.flags import Identity, InstanceId, InstanceRegion, LocationFlags, Profile, SshUser


def connect(
    instance_id: InstanceId,
    command: Annotated[
        str | None,
        typer.Option(
            "--command",
            "-c",
            metavar="COMMAND",
            help="Run this command in the instance's shell and exit with its exit code.",
            show_default=False,
        ),
    ] = None,
    ssh_user: SshUser = None,
    identity: Identity = None,
    region: InstanceRegion = None,
    profile: Profile = None,
) -> None:
    """Log in to an instance over SSH, or run a command there.

    Runs the system's `ssh` with your SSH configuration. The instance's host key is verified first,
    as for `spawn queue status`.

    Examples:
        spawn connect i-0123456789abcdef0
        spawn connect i-0123456789abcdef0 -c "tail -f /var/log/spawn-queue/train.log"
        spawn connect i-0123456789abcdef0 --ssh-user ubuntu --identity ~/.ssh/team
    """
    from spawn.cli import host
    from spawn.cli.sources.ec2 import expect_instance

    expect_instance(instance_id)
    from spawn.cli.support.ssh_login import ssh_command

    where = LocationFlags(region=region, profile=profile, ssh_user=ssh_user, identity=identity)
    _exec(ssh_command(instance_id, host.local_roots(), where, command))


def _exec(words: list[str]) -> NoReturn:
    """Replace this process with another program, which keeps the terminal, streams and signals."""
    import os
    import signal
    import sys

    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it; ssh would inherit this
    os.execvp(words[0], words)
