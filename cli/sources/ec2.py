"""An instance as EC2 describes it, looked for where it was the last time."""

import os

from spawn.cli.remote.address import Remembered, recall
from spawn.core.errors import InvalidArgument
from spawn.core.ids import is_instance_id
from spawn.store.instances import Described
from spawn.store.paths import Roots


def described(
    instance_id: str, roots: Roots, region: str | None, profile: str | None
) -> tuple[Described, str | None]:
    """Ask EC2 for an instance, whatever its state is.

    Returns:
        The instance, and the profile that it was asked for with.

    Raises:
        InvalidArgument: It is no instance id.
        Gone: EC2 does not know it there; its region is named where it has another.
        Denied, Unavailable: EC2 cannot be asked.
    """
    expect_instance(instance_id)
    from spawn.cli.remote.lookup import describe_or_raise  # boto3 costs 180 ms to import

    kept = recall(roots, instance_id) or Remembered()
    profile = profile or kept.profile
    region = configured(region or kept.region)
    return describe_or_raise(instance_id, region, profile), profile


def expect_instance(name: str) -> None:
    """See that a name is an instance's.

    Raises:
        InvalidArgument: It is not.
    """
    if not is_instance_id(name):
        raise InvalidArgument(
            f"'{name}' is not an instance id",
            hint="i-0123456789abcdef0; `spawn list` shows yours, and `spawn queue status` knows "
            "queues by their own ids",
        )


def configured(region: str | None) -> str | None:
    """The region to ask; None leaves it to boto3, which reads AWS_DEFAULT_REGION alone: every other
    tool of AWS reads AWS_REGION too."""
    return region or os.environ.get("AWS_REGION") or None
