"""Describe an instance, by default in the region where it was last found."""

import os

from spawn.cli.ssh.last_contact import LastContact, load_last_contact
from spawn.core.errors import InvalidArgument
from spawn.core.values.ids import is_instance_id
from spawn.store.aws.ec2_instances import InstanceDescription
from spawn.store.queue_dir.paths import Roots


def describe_instance(
    instance_id: str, roots: Roots, region: str | None, profile: str | None
) -> tuple[InstanceDescription, str | None]:
    """Describe an instance in any state.

    Returns:
        The instance, and the AWS profile that was used.

    Raises:
        InvalidArgument: `instance_id` is not an instance id.
        Gone: EC2 has no such instance in that region; the hint names another region if it is there.
        Denied, Unavailable: The request failed.
    """
    expect_instance(instance_id)
    from spawn.cli.ssh.lookup import describe_or_raise  # boto3 costs 180 ms to import

    kept = load_last_contact(roots, instance_id) or LastContact()
    profile = profile or kept.profile
    region = region_or_default(region or kept.region)
    return describe_or_raise(instance_id, region, profile), profile


def expect_instance(name: str) -> None:
    """Check that a name is an instance id.

    Raises:
        InvalidArgument: It is not.
    """
    if not is_instance_id(name):
        raise InvalidArgument(
            f"'{name}' is not an instance id",
            hint="for example i-0123456789abcdef0; `spawn list` shows your instances, and "
            "`spawn queue status` takes queue ids",
        )


def region_or_default(region: str | None) -> str | None:
    """The argument, else AWS_REGION, which boto3 does not read; None leaves the choice to it."""
    return region or os.environ.get("AWS_REGION") or None
