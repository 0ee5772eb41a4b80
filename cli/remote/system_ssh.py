"""The system's own `ssh`, told what was found out: where the instance is, and who it must be.

It asks for passphrases, touches and second factors, which we cannot.
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
    """The words of `ssh`, its name first.

    Args:
        settings: With the address that was found.
        config: The configuration that it is to read instead of the person's; None: theirs.
        known_hosts: Where the instance's keys are, under its id; no other file counts.
        command: For the shell there as it is; None: a session.
        terminal: Whether a command gets a terminal, so that Ctrl-C reaches it.
    """
    options = {
        "HostName": settings.host.replace("%", "%%"),
        "HostKeyAlias": instance_id,
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{str(known_hosts).replace("%", "%%")}"',
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "ControlPath": "none",  # a connection that is open was verified by nobody, or as another
        **({"LogLevel": "ERROR"} if command is not None else {}),  # no `Connection closed` after it
    }
    words = ["ssh", *(["-F", config] if config else []), "-l", user]
    words += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    words += _identities(settings.identities)
    if command is None:
        return [*words, "--", instance_id]
    return [*words, "-t" if terminal else "-T", "--", instance_id, command]


def _identities(files: Sequence[str]) -> list[str]:
    """Those that are there: `ssh` complains of others when they are named to it."""
    there = [each for each in files if Path(each).is_file()]
    return [word for each in there for word in ("-i", each)]
