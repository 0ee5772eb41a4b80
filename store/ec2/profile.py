"""The role of an instance, and the instance profile that hands it over. Both have one name."""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.errors import InvalidArgument
from spawn.core.launch.policy import trust
from spawn.store.ec2.errors import asking
from spawn.store.ec2.ours import TAGS, expect_ours
from spawn.store.ec2.session import Aws
from spawn.store.objects.aws import code_of
from spawn.store.objects.port import Denied

POLICY = "spawn-queue"
_FLAG = "--iam-instance-profile"
_NONE = "NoSuchEntity"
_THERE = "EntityAlreadyExists"


class Profile(Struct, frozen=True):
    """What is there of it. `complete`: the profile has the role, and the role what it needs."""

    name: str
    role: bool = False
    profile: bool = False
    joined: bool = False
    policy: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing is left to make."""
        return self.role and self.profile and self.joined and self.policy


def named(aws: Aws, name: str) -> str:
    """See that an instance profile that somebody named is there. Who may not ask is believed.

    Raises:
        InvalidArgument: It is not there, or has no role.
        StoreError: IAM cannot be asked.
    """
    try:
        found = _profile(aws, name)
    except Denied:
        return name
    if found is None or not found["Roles"]:
        raise InvalidArgument(
            f"there is no instance profile {name}" if found is None else f"{name} has no role",
            hint="--iam-instance-profile takes the profile's name; without it one is made",
        )
    return name


def look(aws: Aws, name: str, policy: dict[str, Any]) -> Profile:
    """See what is there of our own profile.

    Args:
        policy: What its role is to be allowed.

    Raises:
        Denied: Somebody else's has its name, or we may not ask.
        Unavailable: IAM does not answer.
    """
    with asking("iam:GetRole", "look for the instance's role"):
        role = _found(lambda: aws.client("iam").get_role(RoleName=name)["Role"])
    if role is not None:
        expect_ours(f"role {name}", role.get("Tags", []), _FLAG)
    profile = _profile(aws, name)
    if profile is not None:
        expect_ours(f"instance profile {name}", profile.get("Tags", []), _FLAG)
    return Profile(
        name,
        role=role is not None,
        profile=profile is not None,
        joined=bool(profile and any(each["RoleName"] == name for each in profile["Roles"])),
        policy=role is not None and _policy(aws, name) == policy,
    )


def make(aws: Aws, profile: Profile, policy: dict[str, Any]) -> None:
    """Make what is missing. What another launch makes meanwhile is as good.

    Raises:
        StoreError: It may not be made. What was made costs nothing, and is used the next time.
    """
    client, name = aws.client("iam"), profile.name
    if not profile.role:
        with asking("iam:CreateRole", "make the instance's role"):
            _unless_there(
                lambda: client.create_role(
                    RoleName=name,
                    AssumeRolePolicyDocument=json.dumps(trust(aws.partition)),
                    Description="What instances that run spawn queues may do",
                    Tags=TAGS,
                )
            )
    if not profile.policy:
        with asking("iam:PutRolePolicy", "give the instance's role its rights"):
            client.put_role_policy(
                RoleName=name, PolicyName=POLICY, PolicyDocument=json.dumps(policy)
            )
    if not profile.profile:
        with asking("iam:CreateInstanceProfile", "make the instance's profile"):
            _unless_there(
                lambda: client.create_instance_profile(InstanceProfileName=name, Tags=TAGS)
            )
    if not profile.joined:
        with asking("iam:AddRoleToInstanceProfile", "give the profile its role"):
            _unless_there(
                lambda: client.add_role_to_instance_profile(
                    InstanceProfileName=name, RoleName=name
                ),
                "LimitExceeded",  # it has one: the same, by another launch
            )


def _profile(aws: Aws, name: str) -> dict[str, Any] | None:
    client = aws.client("iam")
    with asking("iam:GetInstanceProfile", "look for the instance's profile"):
        return _found(
            lambda: client.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        )


def _policy(aws: Aws, name: str) -> dict[str, Any] | None:
    client = aws.client("iam")
    with asking("iam:GetRolePolicy", "look at the rights of the instance's role"):
        return _found(
            lambda: client.get_role_policy(RoleName=name, PolicyName=POLICY)["PolicyDocument"]
        )


def _found(ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return ask()
    except ClientError as error:
        if code_of(error) != _NONE:
            raise
        return None


def _unless_there(make: Callable[[], object], *also: str) -> None:
    try:
        make()
    except ClientError as error:
        if code_of(error) not in (_THERE, *also):
            raise
