"""The jobs' environment of a launch, stored as an SSM SecureString."""

from typing import Any

from spawn.store.aws.errors import aws_errors
from spawn.store.aws.session import TAGS, AwsSession
from spawn.store.objects.aws import create_client


def arn(aws: AwsSession, name: str) -> str:
    """Return the parameter's ARN."""
    return f"arn:{aws.partition}:ssm:{aws.region}:{aws.account}:parameter{name}"


def put(aws: AwsSession, name: str, text: str) -> None:
    """Create a parameter, encrypted with the AWS managed key.

    Raises:
        StoreError: The request failed; the message contains no values.
    """
    with aws_errors("ssm:PutParameter", "store the environment", aws.region):
        aws.client("ssm").put_parameter(
            Name=name,
            Description="The environment of the jobs of a spawn queue",
            Value=text,
            Type="SecureString",
            Tier="Standard",
            Tags=TAGS,
        )


def delete(aws: AwsSession, name: str) -> None:
    """Delete a parameter; no error if it does not exist.

    Raises:
        StoreError: The request failed.
    """
    _delete(aws.client("ssm"), name, aws.region)


def delete_by_name(name: str, region: str, profile: str | None) -> bool:
    """Delete a parameter without an `Aws` session.

    Returns:
        Whether it existed.

    Raises:
        StoreError: The request failed.
    """
    with aws_errors("ssm:DeleteParameter", "delete the environment", region):
        client = create_client("ssm", region, profile)
    return _delete(client, name, region)


def _delete(client: Any, name: str, region: str) -> bool:
    with aws_errors("ssm:DeleteParameter", "delete the environment", region):
        # DeleteParameters ignores missing names, but needs another permission.
        try:
            client.delete_parameter(Name=name)
        except client.exceptions.ParameterNotFound:
            return False
    return True
