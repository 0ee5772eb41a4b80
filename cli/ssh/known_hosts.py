"""Read and write lines of a `known_hosts` file.

Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from spawn.cli.ssh.host_key import HostKey, parse_host_key

_HASHED = "|1|"
_REVOKED = "@revoked"


class KnownKey(Struct, frozen=True):
    """A key for a name. `line` counts from 1; a `revoked` key must be rejected."""

    key: HostKey
    line: int
    revoked: bool = False


def find_keys(text: str, names: Sequence[str]) -> Iterator[KnownKey]:
    """Find the keys of any of these names, in file order.

    Invalid lines are skipped, as in OpenSSH. `@cert-authority` lines are skipped too, because spawn
    does not use host certificates.

    Args:
        names: Names as OpenSSH looks them up: a host, or `[host]:port` for a port other than 22.
    """
    lowered = [name.lower() for name in names]
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.strip()
        if not fields or fields.startswith("#"):
            continue
        marker = ""
        if fields.startswith("@"):
            marker, _, fields = fields.partition(" ")
        hosts, _, rest = fields.strip().partition(" ")
        if marker and marker != _REVOKED:
            continue
        if not any(_matches_hosts(hosts, name) for name in lowered):
            continue
        key = parse_host_key(rest.strip())
        if key is not None:
            yield KnownKey(key, number, bool(marker))


def format_line(name: str, key: HostKey, comment: str = "") -> str:
    """Format the line of a key for a name."""
    return f"{name} {key.line} {comment}".rstrip()


def host_name(host: str, port: int) -> str:
    """Format a host and port as a name in `known_hosts`."""
    return host if port == 22 else f"[{host}]:{port}"


def _matches_hosts(hosts: str, name: str) -> bool:
    if hosts.startswith(_HASHED):
        return _matches_hash(hosts, name)
    found = False
    for pattern in hosts.lower().split(","):
        negated = pattern.startswith("!")
        if _matches_pattern(pattern.removeprefix("!"), name):
            if negated:
                return False
            found = True
    return found


def _matches_pattern(pattern: str, name: str) -> bool:
    if "*" not in pattern and "?" not in pattern:
        return pattern == name
    # Collapse runs of stars: many of them would make the match take exponential time.
    expression = re.escape(re.sub(r"\*+", "*", pattern)).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name) is not None


def _matches_hash(hosts: str, name: str) -> bool:
    salt, _, digest = hosts.removeprefix(_HASHED).partition("|")
    try:
        computed = hmac.digest(base64.b64decode(salt, validate=True), name.encode(), "sha1")
        return hmac.compare_digest(computed, base64.b64decode(digest, validate=True))
    except (binascii.Error, ValueError):
        return False


_BEGIN = "-----BEGIN SSH HOST KEY KEYS-----"
_END = "-----END SSH HOST KEY KEYS-----"


def parse_host_keys(output: str) -> tuple[HostKey, ...]:
    """Parse the host keys in console output.

    Returns:
        The keys of the newest complete block, or an empty tuple. A block with a line that is not a
        key is ignored, because it may be incomplete or contain other output.
    """
    newest: tuple[HostKey, ...] = ()
    block: list[HostKey] | None = None
    for line in output.splitlines():
        text = line.strip()
        if text == _BEGIN:
            block = []
        elif block is None or not text:
            continue
        elif text == _END:
            newest = tuple(block) or newest
            block = None
        else:
            key = parse_host_key(text)
            if key is None:
                block = None
            else:
                block.append(key)
    return newest
