"""The SSH settings of a host, as the configuration resolves them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from spawn.core.errors import InvalidArgument

_TOKEN = re.compile(r"%(.)")
_JUMP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^]]+\]|[^:@\[\]/]+)(?::(?P<port>\d+))?/?"
)


class HostSettings(Struct, frozen=True, kw_only=True):
    """The SSH settings of a host.

    `name` is the name that was looked up, `host` the address to connect to; they are equal if the
    configuration has no HostName. `user` is empty if the configuration names none.
    """

    name: str
    host: str
    port: int = 22
    user: str = ""
    identities: tuple[str, ...] = ()
    """Private key files in the order to try; some may not exist."""
    named: int = 0
    """How many of `identities`, from the start, were named explicitly; the rest are defaults."""
    certificates: tuple[str, ...] = ()
    identities_only: bool = False
    """Whether to ignore the agent's other keys."""
    agent: str = ""
    """The agent's socket. Empty: SSH_AUTH_SOCK; `none`: no agent."""
    proxy_command: str = ""
    jumps: tuple["Jump", ...] = ()
    """The jump hosts, nearest first."""
    alias: str = ""
    """HostKeyAlias: the name to look its key up under."""
    known_hosts: tuple[Path, ...] = ()


class Jump(Struct, frozen=True):
    """A jump host. An empty `user` and a `port` of 0 mean the values of its own configuration."""

    host: str
    user: str = ""
    port: int = 0


def jumps(text: str) -> tuple[Jump, ...]:
    """Parse a ProxyJump: `[user@]host[:port]` or `ssh://` URIs, separated by commas.

    Raises:
        InvalidArgument: The value is malformed.
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
    """Replace tokens such as `%h`; unknown tokens stay. Source: ssh_config(5), TOKENS."""
    return _TOKEN.sub(lambda found: tokens.get(found[1], found[0]), text)


def files(text: str, home: Path) -> tuple[Path, ...]:
    """Split a list of files from `ssh -G`, which does not quote names with spaces.

    Consecutive words form one name if a file of that name exists.
    """
    words = text.split()
    found: list[Path] = []
    while words:
        for count in range(len(words), 0, -1):
            path = Path(_expand_home(" ".join(words[:count]), home))
            if count == 1 or path.exists():
                break
        if words[0] != "none":
            found.append(path)
        words = words[count:]
    return tuple(found)


def paths(names: Sequence[str], home: Path) -> tuple[str, ...]:
    """Expand `~` in file names from a configuration, and drop `none`."""
    return tuple(_expand_home(name, home) for name in names if name != "none")


def _expand_home(name: str, home: Path) -> str:
    return str(home / name[2:]) if name.startswith("~/") else name
