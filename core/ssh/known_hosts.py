"""Lines of a `known_hosts` file.

Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from spawn.core.ssh.key import HostKey, parse

_HASHED = "|1|"
_REVOKED = "@revoked"


class Known(Struct, frozen=True):
    """A key that a file has for a name. `line` counts from 1; `revoked`: never to be trusted."""

    key: HostKey
    line: int
    revoked: bool = False


def known(text: str, names: Sequence[str]) -> Iterator[Known]:
    """The keys that a file has for any of these names, in its order.

    Args:
        names: As OpenSSH looks them up: a host, or `[host]:port` for another port than 22.

    Lines that cannot be read are passed over, as OpenSSH does; so are authorities
    (`@cert-authority`), for no certificate of a host is ever asked for.
    """
    wanted = [name.lower() for name in names]
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.strip()
        if not fields or fields.startswith("#"):
            continue
        marker = ""
        if fields.startswith("@"):
            marker, _, fields = fields.partition(" ")
        hosts, _, rest = fields.strip().partition(" ")
        if (marker and marker != _REVOKED) or not any(_names(hosts, name) for name in wanted):
            continue
        key = parse(rest.strip())
        if key is not None:
            yield Known(key, number, bool(marker))


def entry(name: str, key: HostKey, comment: str = "") -> str:
    """The line that makes a key known for a name."""
    return f"{name} {key.line} {comment}".rstrip()


def named(host: str, port: int) -> str:
    """A host and port, as `known_hosts` has them."""
    return host if port == 22 else f"[{host}]:{port}"


def _names(hosts: str, name: str) -> bool:
    if hosts.startswith(_HASHED):
        return _hashes(hosts, name)
    found = False
    for pattern in hosts.lower().split(","):
        refused = pattern.startswith("!")
        if _matches(pattern.removeprefix("!"), name):
            if refused:
                return False
            found = True
    return found


def _matches(pattern: str, name: str) -> bool:
    if "*" not in pattern and "?" not in pattern:
        return pattern == name
    # Runs of stars are one: a pattern of many would take for ever.
    expression = re.escape(re.sub(r"\*+", "*", pattern)).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name) is not None


def _hashes(hosts: str, name: str) -> bool:
    salt, _, digest = hosts.removeprefix(_HASHED).partition("|")
    try:
        made = hmac.digest(base64.b64decode(salt, validate=True), name.encode(), "sha1")
        return hmac.compare_digest(made, base64.b64decode(digest, validate=True))
    except (binascii.Error, ValueError):
        return False
