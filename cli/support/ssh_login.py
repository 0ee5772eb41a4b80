"""`spawn connect`: verify the instance over our own connection, then build the `ssh` command."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from spawn.cli.flags import LocationFlags
from spawn.cli.ssh.access import instance_access
from spawn.cli.ssh.errors import AuthenticationFailed, HostKeyUnknown
from spawn.cli.ssh.host_settings import HostSettings
from spawn.cli.ssh.known_hosts_file import KnownHostsFile
from spawn.cli.ssh.reach import LogHints
from spawn.core.errors import SpawnError
from spawn.store.programs import find_program
from spawn.store.queue_dir.paths import Roots


def ssh_command(
    instance_id: str, roots: Roots, where: LocationFlags, command: str | None
) -> list[str]:
    """Connect once to find the address and verify the host key; returns the `ssh` command line.

    Raises:
        SpawnError: No `ssh` program is installed, or the host key cannot be saved for it.
        RemoteError: The instance cannot be reached or its host key is not trusted. A rejected login
            is an error only without a terminal: else `ssh` may ask for a passphrase.
    """
    program = find_program("ssh")
    if program is None:
        raise SpawnError(
            "no ssh program found on this machine", hint="install the package openssh-client"
        )

    began = True

    def keys() -> tuple[str, ...]:
        from spawn.cli.sources.logged_instance import read_logged_instance

        nonlocal began
        found = read_logged_instance(instance_id, roots, where)
        began = found.host_keys is not None or bool(found.owner)
        return tuple(found.host_keys or ())

    reach = instance_access(instance_id, roots, where, told=LogHints(host_keys=keys))
    interactive = sys.stdin.isatty()
    try:
        reach.connect().close()
    except HostKeyUnknown as error:
        if began:
            raise
        raise error.with_why(
            "it is still booting, and will write its key to its queue's log"
        ).with_only_hint(
            f"wait until `spawn queue status {instance_id}` shows that the queue has started; "
            f"or {error.hint}"
        ) from error
    except AuthenticationFailed:
        if not interactive:
            raise
    own = KnownHostsFile(roots)
    if not own.keys(instance_id):
        raise SpawnError(
            f"the host key of {instance_id} is verified but cannot be saved for ssh",
            why=f"{own.path} cannot be written",
            hint="free some space, or set SPAWN_HOME to a folder that you can write to",
        )
    assert reach.last is not None
    settings, user = reach.last
    words = ssh_arguments(
        instance_id,
        settings,
        user,
        config=os.environ.get("SPAWN_SSH_CONFIG") or None,
        known_hosts=own.path,
        command=command,
        terminal=interactive and sys.stdout.isatty(),
    )
    return [program, *words[1:]]


def ssh_arguments(
    instance_id: str,
    settings: HostSettings,
    user: str,
    *,
    config: str | None,
    known_hosts: Path,
    command: str | None,
    terminal: bool,
) -> list[str]:
    """The argument vector of `ssh`, including its name.

    Args:
        settings: `host` is the address to connect to.
        config: An SSH configuration to read instead of the user's.
        known_hosts: The only file with trusted keys: those of the instance, under its id.
        command: A string for the remote shell; None: an interactive session.
        terminal: Whether to allocate a terminal for the command, so that Ctrl-C reaches it.
    """
    options = {
        "HostName": settings.host.replace("%", "%%"),
        "HostKeyAlias": instance_id,
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{str(known_hosts).replace("%", "%%")}"',
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "ControlPath": "none",  # a shared connection may not have been verified under this id
        **({"LogLevel": "ERROR"} if command is not None else {}),  # no `Connection closed` message
    }
    words = ["ssh", *(["-F", config] if config else []), "-l", user]
    words += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    words += _identities(settings.identities)
    if command is None:
        return [*words, "--", instance_id]
    return [*words, "-t" if terminal else "-T", "--", instance_id, command]


def _identities(files: Sequence[str]) -> list[str]:
    """`-i` for each file that exists: `ssh` warns about missing ones."""
    existing = [each for each in files if Path(each).is_file()]
    return [word for each in existing for word in ("-i", each)]
