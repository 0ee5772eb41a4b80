"""The instance that a user requests from a launch."""

import re
from ipaddress import ip_network

from msgspec import Struct

from spawn.core.errors import InvalidArgument
from spawn.store.aws.boot.plan import DEFAULT_USER, OnComplete

DEFAULT_GIB = 20
"""Default size of the root volume. Amazon Linux's 8 GiB leave no room for data."""
MOST_GIB = 16384
_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_REGION = re.compile(r"[a-z]{2,3}(-[a-z]+)+-\d{1,2}")
_FORMS = {
    "--ami": (re.compile(r"ami-[0-9a-f]+"), "ami-0123456789abcdef0"),
    "--subnet-id": (re.compile(r"subnet-[0-9a-f]+"), "subnet-0123456789abcdef0"),
    "--security-group": (re.compile(r"sg-[0-9a-f]+"), "sg-0123456789abcdef0"),
}


class InstanceRequest(Struct, frozen=True, kw_only=True):
    """A requested instance. None means the default."""

    instance_type: str
    ami: str | None = None
    key_name: str | None = None
    subnet_id: str | None = None
    security_group: str | None = None
    instance_profile: str | None = None
    spot: bool = False
    volume_gib: int | None = None
    on_complete: OnComplete = "keep"
    user: str = DEFAULT_USER
    name: str | None = None
    tags: dict[str, str] = {}
    ssh_from: str | None = None
    """A network; None: this machine's public address."""

    @property
    def at_shutdown(self) -> str:
        """What EC2 does when the instance powers itself off.

        EC2 cannot stop a one-time spot instance.
        """
        return "terminate" if self.on_complete == "terminate" or self.spot else "stop"


def check_request(wanted: InstanceRequest) -> InstanceRequest:
    """Validate the request without I/O; return it.

    Raises:
        InvalidArgument: The request is invalid.
    """
    if _TYPE.fullmatch(wanted.instance_type) is None:
        raise InvalidArgument(
            f"'{wanted.instance_type}' is not an instance type", hint="--instance-type m7i.large"
        )
    ids = {
        "--ami": wanted.ami,
        "--subnet-id": wanted.subnet_id,
        "--security-group": wanted.security_group,
    }
    for flag, value in ids.items():
        form, example = _FORMS[flag]
        if value is not None and form.fullmatch(value) is None:
            raise InvalidArgument(f"{flag} {value} is not a valid id", hint=f"{flag} {example}")
    if wanted.spot and wanted.on_complete == "stop":
        raise InvalidArgument(
            "--spot cannot be used with --on-complete stop",
            why="EC2 cannot stop a one-time spot instance",
            hint="--on-complete terminate; results and logs are in S3",
        )
    if wanted.volume_gib is not None and not 1 <= wanted.volume_gib <= MOST_GIB:
        raise InvalidArgument(
            f"--volume-size {wanted.volume_gib} is out of range",
            why=f"the size is 1 to {MOST_GIB} GiB",
        )
    if wanted.security_group is not None and wanted.ssh_from is not None:
        raise InvalidArgument(
            "--security-group cannot be used with --ssh-from",
            why="spawn does not change the rules of your own group",
        )
    if _USER.fullmatch(wanted.user) is None:
        raise InvalidArgument(f"'{wanted.user}' is not a user name", hint="--ssh-user ec2-user")
    return wanted


def why_not_a_region(name: str) -> str | None:
    """Return why a name cannot be a region, or None if it can."""
    return None if _REGION.fullmatch(name) else "a region looks like us-east-1"


def parse_network(text: str) -> str:
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
