"""The command line of the system's `ssh`, with the instance's address and a pinned host key.

Unlike spawn, `ssh` can prompt for passphrases, key touches and second factors.
"""

from collections.abc import Sequence
from pathlib import Path

from spawn.cli.remote.settings import Settings


def arguments(
    instance_id: str,
    settings: Settings,
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
