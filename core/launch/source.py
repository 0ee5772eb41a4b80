"""The network from which the security group admits SSH."""

from ipaddress import ip_network

from spawn.core.errors import InvalidArgument


def network(text: str) -> str:
    """Parse an address or network, `203.0.113.7` or `203.0.113.0/24`; return it in CIDR form.

    Raises:
        InvalidArgument: The text is invalid, or means all addresses.
    """
    try:
        found = ip_network(text.strip())
    except ValueError as error:
        raise InvalidArgument(
            f"--ssh-from {text} is not an address or network",
            why=str(error),
            hint="--ssh-from 203.0.113.7/32",
        ) from None
    if found.prefixlen == 0:
        raise InvalidArgument(
            f"--ssh-from {text} would admit every address",
            hint="name your own network, or use your own group with --security-group",
        )
    return str(found)
