"""An SSH configuration as paramiko reads it, where there is no OpenSSH to ask.

`Include` is put in place beforehand, which paramiko does not know. What a file includes within a
`Host` block is taken to belong to the block, unless it begins one of its own.
"""

import glob
import re
from pathlib import Path

from spawn.core.errors import SpawnError

_INCLUDE = re.compile(r"^\s*include[\s=]+(.*?)\s*$", re.IGNORECASE)
_DEEP = 16
_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")
_SYSTEM = Path("/etc/ssh/ssh_config")
_GLOBAL = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"


def read(
    name: str, file: str | None, home: Path, *, user: str = "", port: int = 0
) -> dict[str, list[str]]:
    """Read the configuration of a host, in the shape of `ssh -G`: each option's values.

    Args:
        file: Read instead of the person's and the system's.

    Raises:
        SpawnError: It cannot be read.
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
                config.parse(_lines(path, base, home, _DEEP))
        found = config.lookup(name)
    except (OSError, UnicodeDecodeError, paramiko().SSHException) as error:
        raise SpawnError("the SSH configuration cannot be read", why=str(error)) from None
    said = {
        key: list(value) if isinstance(value, list) else [str(value)]
        for key, value in found.items()
    }
    if user:
        said["user"] = [user]
    if port:
        said["port"] = [str(port)]
    said.setdefault("identityfile", [str(folder / each) for each in _KEYS])
    said.setdefault("userknownhostsfile", [f"{folder}/known_hosts {folder}/known_hosts2"])
    said.setdefault("globalknownhostsfile", [_GLOBAL])
    return said


def _lines(path: Path, base: Path, home: Path, deep: int) -> list[str]:
    if deep == 0:
        raise OSError(f"{path} is included by itself, or too deeply")
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
                lines += _lines(Path(each), base, home, deep - 1)
    return lines
