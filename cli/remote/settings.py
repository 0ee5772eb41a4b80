"""How a host is reached: what `ssh` would do for it, after its configuration was read."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from spawn.core.errors import InvalidArgument

_TOKEN = re.compile(r"%(.)")
_JUMP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^]]+\]|[^:@\[\]/]+)(?::(?P<port>\d+))?/?"
)


class Settings(Struct, frozen=True, kw_only=True):
    """What an SSH configuration says of a host.

    `name` is what was asked for, `host` where to connect to. They are the same where the
    configuration names no address. `user` is empty where it names none.
    """

    name: str
    host: str
    port: int = 22
    user: str = ""
    identities: tuple[str, ...] = ()
    """Private keys' files, in the order in which they are tried; not all need be there."""
    named: int = 0
    """How many of them, from the first on, somebody named. The others ssh looks for by itself."""
    certificates: tuple[str, ...] = ()
    identities_only: bool = False
    """Whether an agent's other keys are left alone."""
    agent: str = ""
    """The agent's socket; empty: what SSH_AUTH_SOCK names; `none`: no agent."""
    proxy_command: str = ""
    jumps: tuple["Jump", ...] = ()
    """The hosts that the way leads over, the nearest first."""
    alias: str = ""
    """HostKeyAlias: the name under which its key is known."""
    known_hosts: tuple[Path, ...] = ()


class Jump(Struct, frozen=True):
    """A host on the way. `user` may be empty and `port` 0: what its own configuration says."""

    host: str
    user: str = ""
    port: int = 0


def jumps(text: str) -> tuple[Jump, ...]:
    """Read a ProxyJump: `[user@]host[:port]` or the same as an `ssh://` address, with commas.

    Raises:
        InvalidArgument: It is none.
    """
    if text.strip().lower() in ("", "none"):
        return ()
    found = []
    for each in text.split(","):
        match = _JUMP.fullmatch(each.strip())
        if match is None or match["host"].startswith("-"):
            raise InvalidArgument(f"'{each.strip()}' in a ProxyJump is not `[user@]host[:port]`")
        found.append(Jump(match["host"].strip("[]"), match["user"] or "", int(match["port"] or 0)))
    return tuple(found)


def expand(text: str, tokens: Mapping[str, str]) -> str:
    """Put values in place of `%h` and the like; unknown ones stay.

    Source: ssh_config(5), TOKENS.
    """
    return _TOKEN.sub(lambda found: tokens.get(found[1], found[0]), text)


def files(text: str, home: Path) -> tuple[Path, ...]:
    """Take a list of files apart, as `ssh -G` prints it: without quotes around names with spaces.

    The words are joined again as long as that names a file that is there.
    """
    words = text.split()
    found: list[Path] = []
    while words:
        for count in range(len(words), 0, -1):
            path = Path(_home(" ".join(words[:count]), home))
            if count == 1 or path.exists():
                break
        if words[0] != "none":
            found.append(path)
        words = words[count:]
    return tuple(found)


def paths(names: Sequence[str], home: Path) -> tuple[str, ...]:
    """The files that a configuration names, `~` and all; `none` names none."""
    return tuple(_home(name, home) for name in names if name != "none")


def _home(name: str, home: Path) -> str:
    return str(home / name[2:]) if name.startswith("~/") else name
