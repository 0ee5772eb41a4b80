"""List and terminate the instances that run queues."""

from datetime import UTC, datetime

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.errors import SpawnError
from spawn.store.aws.ec2_instances import InstanceDescription, ec2_errors, to_description
from spawn.store.objects.aws import create_client, error_code, translate_errors

_OVER = ("shutting-down", "terminated")
_LIVE = ["pending", "running", "stopping", "stopped"]
_NEVER = datetime.min.replace(tzinfo=UTC)
PAGE = 500
"""Number of instances per request."""


class Fleet(Struct, frozen=True):
    """Instances, newest first, and their region."""

    region: str
    instances: tuple[InstanceDescription, ...]


class Protected(SpawnError):
    """The instance is protected from termination."""


def list_instances(
    tag: str, region: str | None, profile: str | None, *, over: bool = False
) -> Fleet:
    """List the instances that have a tag.

    Args:
        tag: Key of the tag, with any value.
        region: None for the region of the AWS configuration.
        over: Whether to include instances that are terminated or shutting down.

    Raises:
        Denied: The request is not allowed, or no credentials or region are configured.
        Unavailable: EC2 does not answer.
    """
    filters = [{"Name": "tag-key", "Values": [tag]}]
    if not over:
        filters.append({"Name": "instance-state-name", "Values": _LIVE})
    with ec2_errors(region):
        client = create_client("ec2", region, profile)
        where = str(client.meta.region_name)
        pages = client.get_paginator("describe_instances").paginate(
            Filters=filters, PaginationConfig={"PageSize": PAGE}
        )
        found = [
            to_description(each, where)
            for page in pages
            for reservation in page["Reservations"]
            for each in reservation["Instances"]
        ]
    found.sort(key=lambda each: (each.launched_at or _NEVER, each.instance_id), reverse=True)
    return Fleet(where, tuple(found))


def terminate_instance(instance_id: str, region: str, profile: str | None) -> str:
    """Terminate an instance; no error if it is already terminated.

    Returns:
        Its new EC2 state: `shutting-down` or `terminated`.

    Raises:
        Protected: The instance is protected from termination.
        Denied: The request is not allowed.
        Unavailable: EC2 does not answer; the request may still take effect.
    """
    with ec2_errors(region):
        try:
            answer = create_client("ec2", region, profile).terminate_instances(
                InstanceIds=[instance_id]
            )
        except ClientError as error:
            if error_code(error) != "OperationNotPermitted":
                raise
            raise Protected(
                f"instance {instance_id} is protected from termination",
                why=str(error.response.get("Error", {}).get("Message", "")),
                hint=f"`aws ec2 modify-instance-attribute --region {region} --instance-id "
                f"{instance_id} --no-disable-api-termination` removes the protection",
            ) from None
    return str(answer["TerminatingInstances"][0]["CurrentState"]["Name"])


def is_over(state: str) -> bool:
    """Whether an instance in this state is terminated or shutting down."""
    return state in _OVER


def instance_roles(profile_arn: str, region: str | None, profile: str | None) -> tuple[str, ...]:
    """Return the roles of an instance profile: one, or none if the role was removed.

    Args:
        profile_arn: `arn:aws:iam::111122223333:instance-profile/path/name`.

    Raises:
        Denied: The request is not allowed.
        Unavailable: IAM does not answer.
    """
    with translate_errors("IAM", ""):
        client = create_client("iam", region, profile)
        try:
            found = client.get_instance_profile(InstanceProfileName=profile_name(profile_arn))
        except ClientError as error:
            if error_code(error) == "NoSuchEntity":
                return ()
            raise
        return tuple(str(role["RoleName"]) for role in found["InstanceProfile"]["Roles"])


def profile_name(profile_arn: str) -> str:
    """Return the name in an instance profile's ARN."""
    return profile_arn.rpartition("/")[2]
