"""The SSH configuration as paramiko reads it, for machines without an `ssh` program.

paramiko does not support `Include`, so included files are inserted first. A file included within a
`Host` block is part of that block, unless it starts its own.
"""

import glob
import re
from pathlib import Path

from spawn.core.errors import SpawnError

_INCLUDE = re.compile(r"^\s*include[\s=]+(.*?)\s*$", re.IGNORECASE)
_MAX_INCLUDES = 16
"""Include depth. Source: OpenSSH, READCONF_MAX_DEPTH."""
_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")
_SYSTEM = Path("/etc/ssh/ssh_config")
_GLOBAL = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"


def read(
    name: str, file: str | None, home: Path, *, user: str = "", port: int = 0
) -> dict[str, list[str]]:
    """Read the configuration for a host, as the values of each option, like `ssh -G`.

    Args:
        file: Read instead of the user's and the system's configuration.
        user: Overrides the configuration unless empty.
        port: Overrides the configuration unless 0.

    Raises:
        SpawnError: The configuration cannot be read.
    """
    from spawn.cli.remote.library import paramiko, with_commands

    with_commands()
    config = paramiko().SSHConfig()
    folder = home / ".ssh"
    read_from = [(Path(file), folder)] if file else [(folder / "config", folder)]
    if file is None:
        read_from.append((_SYSTEM, _SYSTEM.parent))
    try:
        for path, base in read_from:
            if file is not None or path.exists():
                config.parse(_lines(path, base, home, _MAX_INCLUDES))
        found = config.lookup(name)
    except (OSError, UnicodeDecodeError, paramiko().SSHException) as error:
        raise SpawnError("the SSH configuration cannot be read", why=str(error)) from None
    options = {
        key: list(value) if isinstance(value, list) else [str(value)]
        for key, value in found.items()
    }
    if user:
        options["user"] = [user]
    if port:
        options["port"] = [str(port)]
    options.setdefault("identityfile", [str(folder / each) for each in _KEYS])
    options.setdefault("userknownhostsfile", [f"{folder}/known_hosts {folder}/known_hosts2"])
    options.setdefault("globalknownhostsfile", [_GLOBAL])
    return options


def _lines(path: Path, base: Path, home: Path, depth: int) -> list[str]:
    if depth == 0:
        raise OSError(f"{path} includes itself, or Include is nested too deeply")
    lines: list[str] = []
    for line in path.read_text().splitlines():
        include = _INCLUDE.match(line)
        if include is None:
            lines.append(line)
            continue
        for word in include[1].split():
            word = word.strip('"')
            pattern = home / word[2:] if word.startswith("~/") else base / word
            for each in sorted(glob.glob(str(pattern))):
                lines += _lines(Path(each), base, home, depth - 1)
    return lines
