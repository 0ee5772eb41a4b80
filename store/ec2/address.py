"""The address that we have on the internet: asked of AWS, since nobody here knows it."""

import urllib.request
from ipaddress import ip_address

from spawn.core.launch.source import network
from spawn.store.objects.port import Denied

SERVICE = "https://checkip.amazonaws.com"
_SECONDS = 5
_HINT = "--ssh-from 203.0.113.7/32 says it; --security-group takes a group of your own making"


def ours() -> str:
    """Our own address, as a network of one.

    Raises:
        Denied: It cannot be learned: the group is opened to nobody then.
    """
    try:
        with urllib.request.urlopen(SERVICE, timeout=_SECONDS) as answer:
            said = answer.read(64).decode("ascii", "replace").strip()
        found = ip_address(said)
    except (OSError, ValueError) as error:
        raise Denied(
            "nobody knows from which address you will come over SSH",
            why=f"{SERVICE}: {error}",
            hint=_HINT,
        ) from None
    return network(str(found))
