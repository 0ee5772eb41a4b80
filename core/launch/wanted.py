"""What a person asked of a launch, once it is known to make sense."""

import re

from msgspec import Struct

from spawn.core.boot.plan import USER, OnComplete
from spawn.core.errors import InvalidArgument

DEFAULT_GIB = 20
"""Of the root volume, where nobody says. Amazon Linux's own 8 hold a system and no data."""
MOST_GIB = 16384
_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_REGION = re.compile(r"[a-z]{2,3}(-[a-z]+)+-\d{1,2}")
_FORMS = {
    "--ami": (re.compile(r"ami-[0-9a-f]+"), "ami-0123456789abcdef0"),
    "--subnet-id": (re.compile(r"subnet-[0-9a-f]+"), "subnet-0123456789abcdef0"),
    "--security-group": (re.compile(r"sg-[0-9a-f]+"), "sg-0123456789abcdef0"),
}


class Wanted(Struct, frozen=True, kw_only=True):
    """An instance, as it is asked for. None: what is usual."""

    instance_type: str
    ami: str | None = None
    key_name: str | None = None
    subnet_id: str | None = None
    security_group: str | None = None
    instance_profile: str | None = None
    spot: bool = False
    volume_gib: int | None = None
    on_complete: OnComplete = "keep"
    user: str = USER
    name: str | None = None
    tags: dict[str, str] = {}
    ssh_from: str | None = None
    """A network; None: wherever we are."""

    @property
    def at_shutdown(self) -> str:
        """What EC2 does when the instance shuts itself down. A one-time spot instance cannot be
        stopped."""
        return "terminate" if self.on_complete == "terminate" or self.spot else "stop"


def check(wanted: Wanted) -> Wanted:
    """See that it makes sense, without asking anybody.

    Raises:
        InvalidArgument: It does not.
    """
    if _TYPE.fullmatch(wanted.instance_type) is None:
        raise InvalidArgument(
            f"'{wanted.instance_type}' is no instance type", hint="--instance-type m7i.large"
        )
    said = {
        "--ami": wanted.ami,
        "--subnet-id": wanted.subnet_id,
        "--security-group": wanted.security_group,
    }
    for flag, value in said.items():
        form, example = _FORMS[flag]
        if value is not None and form.fullmatch(value) is None:
            raise InvalidArgument(f"{flag} {value} is no id", hint=f"{flag} {example}")
    if wanted.spot and wanted.on_complete == "stop":
        raise InvalidArgument(
            "--spot excludes --on-complete stop",
            why="EC2 cannot stop a one-time spot instance",
            hint="--on-complete terminate; results and logs are in S3",
        )
    if wanted.volume_gib is not None and not 1 <= wanted.volume_gib <= MOST_GIB:
        raise InvalidArgument(
            f"--volume-size {wanted.volume_gib} cannot be", why=f"it is in GiB, 1 to {MOST_GIB}"
        )
    if wanted.security_group is not None and wanted.ssh_from is not None:
        raise InvalidArgument(
            "--security-group excludes --ssh-from", why="that group's rules are yours to make"
        )
    if _USER.fullmatch(wanted.user) is None:
        raise InvalidArgument(f"'{wanted.user}' is not a user's name", hint="--ssh-user ec2-user")
    return wanted


def why_not_region(name: str) -> str | None:
    """Say why a name cannot be a region's, or None when it can."""
    return None if _REGION.fullmatch(name) else "a region is written like us-east-1"
