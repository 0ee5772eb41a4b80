"""Find an instance type and its architecture."""

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.errors import InvalidArgument
from spawn.store.ec2.errors import aws_errors
from spawn.store.ec2.session import Aws
from spawn.store.objects.aws import code_of

_ARCHITECTURES = ("arm64", "x86_64")


class Kind(Struct, frozen=True):
    """An instance type. `architecture` is `arm64` or `x86_64`."""

    name: str
    architecture: str


def kind(aws: Aws, name: str, *, spot: bool) -> Kind:
    """Describe an instance type.

    Raises:
        InvalidArgument: The region does not have the type, or Amazon Linux does not run on it.
        StoreError: The request failed.
    """
    with aws_errors("ec2:DescribeInstanceTypes", "describe an instance type", aws.region):
        try:
            found = aws.client("ec2").describe_instance_types(InstanceTypes=[name])["InstanceTypes"]
        except ClientError as error:
            if code_of(error) not in ("InvalidInstanceType", "InvalidParameterValue"):
                raise
            found = []
    if not found:
        raise InvalidArgument(
            f"{aws.region} has no instance type {name}",
            hint=f"`aws ec2 describe-instance-types --region {aws.region}` lists its types; set "
            "another region with --region",
        )
    supported = found[0].get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    architecture = next((each for each in _ARCHITECTURES if each in supported), None)
    if architecture is None:
        raise InvalidArgument(
            f"Amazon Linux 2023 does not run on {name}",
            why=f"its architecture is {', '.join(supported) or 'unknown'}",
            hint="use another --instance-type",
        )
    usable = found[0].get("SupportedUsageClasses")
    if spot and usable and "spot" not in usable:
        raise InvalidArgument(
            f"{name} is not available as a spot instance", hint="launch without --spot"
        )
    return Kind(name, architecture)
