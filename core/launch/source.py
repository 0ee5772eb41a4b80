"""From where SSH may come in."""

from ipaddress import ip_network

from spawn.core.errors import InvalidArgument


def network(text: str) -> str:
    """Read an address or a network, as `203.0.113.7` or `203.0.113.0/24`; returns it as a network.

    Raises:
        InvalidArgument: It is none, or the whole world.
    """
    try:
        found = ip_network(text.strip())
    except ValueError as error:
        raise InvalidArgument(
            f"--ssh-from {text} is no address", why=str(error), hint="--ssh-from 203.0.113.7/32"
        ) from None
    if found.prefixlen == 0:
        raise InvalidArgument(
            f"--ssh-from {text} would let the whole world in",
            hint="name your own network; --security-group takes a group of your own making",
        )
    return str(found)
