"""The instances that run queues: which there are, and their end."""

from datetime import UTC, datetime

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.errors import SpawnError
from spawn.store.instances import Described, described, ec2_errors
from spawn.store.objects.aws import code_of, connect

_OVER = ("shutting-down", "terminated")
_LIVE = ["pending", "running", "stopping", "stopped"]
_NEVER = datetime.min.replace(tzinfo=UTC)
PAGE = 500
"""Instances that are asked for at once."""


class Fleet(Struct, frozen=True):
    """Instances, the newest first, and the region that they are in."""

    region: str
    instances: tuple[Described, ...]


class Protected(SpawnError):
    """The instance is protected from termination."""


def fleet(tag: str, region: str | None, profile: str | None, *, over: bool = False) -> Fleet:
    """The instances that have a tag.

    Args:
        tag: Its key; the value may be any.
        region: None: the one that the AWS configuration names.
        over: Whether those that are terminated, or about to be, are among them.

    Raises:
        Denied: We may not ask, or nobody says as whom or where.
        Unavailable: EC2 does not answer.
    """
    filters = [{"Name": "tag-key", "Values": [tag]}]
    if not over:
        filters.append({"Name": "instance-state-name", "Values": _LIVE})
    with ec2_errors(region):
        client = connect("ec2", region, profile)
        where = str(client.meta.region_name)
        pages = client.get_paginator("describe_instances").paginate(
            Filters=filters, PaginationConfig={"PageSize": PAGE}
        )
        found = [
            described(each, where)
            for page in pages
            for reservation in page["Reservations"]
            for each in reservation["Instances"]
        ]
    found.sort(key=lambda each: (each.launched_at or _NEVER, each.instance_id), reverse=True)
    return Fleet(where, tuple(found))


def terminate(instance_id: str, region: str, profile: str | None) -> str:
    """End an instance for good. That it has ended already is no error.

    Returns:
        EC2's word for its state now: `shutting-down` or `terminated`.

    Raises:
        Protected: It is protected from this.
        Denied: We may not.
        Unavailable: EC2 does not answer; it may have heard us.
    """
    with ec2_errors(region):
        try:
            said = connect("ec2", region, profile).terminate_instances(InstanceIds=[instance_id])
        except ClientError as error:
            if code_of(error) != "OperationNotPermitted":
                raise
            raise Protected(
                f"instance {instance_id} is protected from termination",
                why=str(error.response.get("Error", {}).get("Message", "")),
                hint=f"`aws ec2 modify-instance-attribute --region {region} --instance-id "
                f"{instance_id} --no-disable-api-termination` lifts that",
            ) from None
    return str(said["TerminatingInstances"][0]["CurrentState"]["Name"])


def is_over(state: str) -> bool:
    """Whether an instance in this state is terminated, or will be and nothing can stop it."""
    return state in _OVER
