"""Find this machine's public address with a service of AWS."""

import urllib.request
from ipaddress import ip_address

from spawn.core.launch.source import network
from spawn.store.objects.port import Denied

SERVICE = "https://checkip.amazonaws.com"
_SECONDS = 5
_HINT = "set it with --ssh-from 203.0.113.7/32, or use your own group with --security-group"


def ours() -> str:
    """Return this machine's public address as a /32 or /128 network.

    Raises:
        Denied: The address cannot be found; the group then admits no address.
    """
    try:
        with urllib.request.urlopen(SERVICE, timeout=_SECONDS) as answer:
            text = answer.read(64).decode("ascii", "replace").strip()
        found = ip_address(text)
    except (OSError, ValueError) as error:
        raise Denied(
            "the public address of this machine, from which SSH is admitted, cannot be found",
            why=f"{SERVICE}: {error}",
            hint=_HINT,
        ) from None
    return network(str(found))
