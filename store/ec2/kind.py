"""Instance types: whether there is one, and which images it takes."""

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.errors import InvalidArgument
from spawn.store.ec2.errors import asking
from spawn.store.ec2.session import Aws
from spawn.store.objects.aws import code_of

_OURS = ("arm64", "x86_64")


class Kind(Struct, frozen=True):
    """An instance type. `architecture` is `arm64` or `x86_64`."""

    name: str
    architecture: str


def kind(aws: Aws, name: str, *, spot: bool) -> Kind:
    """Look an instance type up.

    Raises:
        InvalidArgument: The region has none of that name, or no image of ours runs on it.
        StoreError: EC2 cannot be asked.
    """
    with asking("ec2:DescribeInstanceTypes", "look an instance type up", aws.region):
        try:
            found = aws.client("ec2").describe_instance_types(InstanceTypes=[name])["InstanceTypes"]
        except ClientError as error:
            if code_of(error) not in ("InvalidInstanceType", "InvalidParameterValue"):
                raise
            found = []
    if not found:
        raise InvalidArgument(
            f"{aws.region} has no instance type {name}",
            hint=f"`aws ec2 describe-instance-types --region {aws.region}` lists them; --region "
            "names another region",
        )
    supported = found[0].get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    architecture = next((each for each in _OURS if each in supported), None)
    if architecture is None:
        raise InvalidArgument(
            f"no Amazon Linux 2023 runs on {name}",
            why=f"it is {', '.join(supported) or 'of an unknown architecture'}",
            hint="another --instance-type",
        )
    usable = found[0].get("SupportedUsageClasses")
    if spot and usable and "spot" not in usable:
        raise InvalidArgument(f"{name} is not to be had as a spot instance", hint="without --spot")
    return Kind(name, architecture)
