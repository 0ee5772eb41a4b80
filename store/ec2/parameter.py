"""The environment of a launch's jobs, as a SecureString of SSM."""

from typing import Any

from spawn.store.ec2.errors import asking
from spawn.store.ec2.ours import TAGS
from spawn.store.ec2.session import Aws
from spawn.store.objects.aws import connect


def arn(aws: Aws, name: str) -> str:
    """The parameter's ARN, as a policy names it."""
    return f"arn:{aws.partition}:ssm:{aws.region}:{aws.account}:parameter{name}"


def put(aws: Aws, name: str, text: str) -> None:
    """Keep a text under a new name, encrypted with AWS's own key.

    Raises:
        StoreError: It may not be kept; no value is told.
    """
    with asking("ssm:PutParameter", "keep the environment", aws.region):
        aws.client("ssm").put_parameter(
            Name=name,
            Description="The environment of the jobs of a spawn queue",
            Value=text,
            Type="SecureString",
            Tier="Standard",
            Tags=TAGS,
        )


def delete(aws: Aws, name: str) -> None:
    """Forget it. One that is not there is no error.

    Raises:
        StoreError: It may not be deleted.
    """
    _delete(aws.client("ssm"), name, aws.region)


def forget(name: str, region: str, profile: str | None) -> bool:
    """The same, by who has asked nothing else of a launch's services.

    Returns:
        Whether it was there.

    Raises:
        StoreError: It may not be deleted.
    """
    with asking("ssm:DeleteParameter", "delete the environment", region):
        client = connect("ssm", region, profile)
    return _delete(client, name, region)


def _delete(client: Any, name: str, region: str) -> bool:
    with asking("ssm:DeleteParameter", "delete the environment", region):
        # The plural does not fail for what is not there; its right is another one.
        try:
            client.delete_parameter(Name=name)
        except client.exceptions.ParameterNotFound:
            return False
    return True
