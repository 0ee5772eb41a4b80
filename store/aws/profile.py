"""The IAM role of an instance and its instance profile, which have the same name."""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.errors import InvalidArgument
from spawn.store.aws.errors import aws_errors
from spawn.store.aws.iam_policies import trust_policy
from spawn.store.aws.session import TAGS, AwsSession, require_tag
from spawn.store.objects.aws import error_code
from spawn.store.objects.interface import AccessDenied

POLICY = "spawn-queue"
_FLAG = "--iam-instance-profile"
_NOT_FOUND = "NoSuchEntity"
_EXISTS = "EntityAlreadyExists"


class Profile(Struct, frozen=True):
    """Which parts of an instance profile exist: role, profile, the link between them, policy."""

    name: str
    role: bool = False
    profile: bool = False
    joined: bool = False
    policy: bool = False

    @property
    def complete(self) -> bool:
        """Whether all parts exist."""
        return self.role and self.profile and self.joined and self.policy


def find_named_profile(aws: AwsSession, name: str) -> str:
    """Check that the user's instance profile exists; without permission, assume that it does.

    Raises:
        InvalidArgument: The profile does not exist, or has no role.
        StoreError: The request failed.
    """
    try:
        found = _get_profile(aws, name)
    except AccessDenied:
        return name
    if found is None or not found["Roles"]:
        raise InvalidArgument(
            f"there is no instance profile {name}" if found is None else f"{name} has no role",
            hint="set the profile's name with --iam-instance-profile, or omit it to create one",
        )
    return name


def find_own_profile(aws: AwsSession, name: str, policy: dict[str, Any]) -> Profile:
    """Find which parts of spawn's profile exist; creates nothing.

    Args:
        policy: The permissions policy that its role must have.

    Raises:
        Denied: A part lacks spawn's tag, or the request is not allowed.
        Unavailable: IAM does not answer.
    """
    with aws_errors("iam:GetRole", "find the instance's role"):
        role = _get_or_none(lambda: aws.client("iam").get_role(RoleName=name)["Role"])
    if role is not None:
        require_tag(f"role {name}", role.get("Tags", []), _FLAG)
    profile = _get_profile(aws, name)
    if profile is not None:
        require_tag(f"instance profile {name}", profile.get("Tags", []), _FLAG)
    return Profile(
        name,
        role=role is not None,
        profile=profile is not None,
        joined=bool(profile and any(each["RoleName"] == name for each in profile["Roles"])),
        policy=role is not None and _get_policy(aws, name) == policy,
    )


def create_profile(aws: AwsSession, profile: Profile, policy: dict[str, Any]) -> None:
    """Create the missing parts. Parts that another launch creates in the meantime are used.

    Raises:
        StoreError: A request failed. Parts that were created are free, and the next launch uses
            them.
    """
    client, name = aws.client("iam"), profile.name
    if not profile.role:
        with aws_errors("iam:CreateRole", "create the instance's role"):
            _create_if_missing(
                lambda: client.create_role(
                    RoleName=name,
                    AssumeRolePolicyDocument=json.dumps(trust_policy(aws.partition)),
                    Description="What instances that run spawn queues may do",
                    Tags=TAGS,
                )
            )
    if not profile.policy:
        with aws_errors("iam:PutRolePolicy", "set the policy of the instance's role"):
            client.put_role_policy(
                RoleName=name, PolicyName=POLICY, PolicyDocument=json.dumps(policy)
            )
    if not profile.profile:
        with aws_errors("iam:CreateInstanceProfile", "create the instance profile"):
            _create_if_missing(
                lambda: client.create_instance_profile(InstanceProfileName=name, Tags=TAGS)
            )
    if not profile.joined:
        with aws_errors("iam:AddRoleToInstanceProfile", "add the role to the instance profile"):
            _create_if_missing(
                lambda: client.add_role_to_instance_profile(
                    InstanceProfileName=name, RoleName=name
                ),
                "LimitExceeded",  # another launch added the same role
            )


def _get_profile(aws: AwsSession, name: str) -> dict[str, Any] | None:
    client = aws.client("iam")
    with aws_errors("iam:GetInstanceProfile", "find the instance profile"):
        return _get_or_none(
            lambda: client.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        )


def _get_policy(aws: AwsSession, name: str) -> dict[str, Any] | None:
    client = aws.client("iam")
    with aws_errors("iam:GetRolePolicy", "read the policy of the instance's role"):
        return _get_or_none(
            lambda: client.get_role_policy(RoleName=name, PolicyName=POLICY)["PolicyDocument"]
        )


def _get_or_none(get: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return get()
    except ClientError as error:
        if error_code(error) != _NOT_FOUND:
            raise
        return None


def _create_if_missing(create: Callable[[], object], *ignored: str) -> None:
    try:
        create()
    except ClientError as error:
        if error_code(error) not in (_EXISTS, *ignored):
            raise
