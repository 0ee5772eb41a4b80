"""Find the machine image of an instance."""

from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.errors import InvalidArgument
from spawn.store.aws.errors import aws_errors
from spawn.store.aws.instance_request import DEFAULT_GIB
from spawn.store.aws.session import AwsSession
from spawn.store.objects.aws import error_code
from spawn.store.objects.interface import AccessDenied

_ARCHITECTURES = ("arm64", "x86_64")


class InstanceType(Struct, frozen=True):
    """An instance type. `architecture` is `arm64` or `x86_64`."""

    name: str
    architecture: str


def describe_type(aws: AwsSession, name: str, *, spot: bool) -> InstanceType:
    """Describe an instance type.

    Raises:
        InvalidArgument: The region does not have the type, or Amazon Linux does not run on it.
        StoreError: The request failed.
    """
    with aws_errors("ec2:DescribeInstanceTypes", "describe an instance type", aws.region):
        try:
            found = aws.client("ec2").describe_instance_types(InstanceTypes=[name])["InstanceTypes"]
        except ClientError as error:
            if error_code(error) not in ("InvalidInstanceType", "InvalidParameterValue"):
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
    return InstanceType(name, architecture)


NEWEST = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}"
"""Source: "Amazon Linux 2023 user guide", launching with the SSM parameter."""
_UNKNOWN = {"InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable"}


class Image(Struct, frozen=True):
    """A machine image, with its root device and the minimum size of the root volume in GiB."""

    ami: str
    name: str
    device: str
    min_gib: int


def find_image(aws: AwsSession, kind: InstanceType, ami: str | None) -> Image:
    """Describe the image `ami`, by default the newest Amazon Linux 2023 for the instance type.

    Raises:
        InvalidArgument: The region has no such image, or it does not run on the instance type.
        StoreError: The request failed.
    """
    chosen = ami or _newest(aws, kind)
    with aws_errors("ec2:DescribeImages", "describe an image", aws.region):
        try:
            found = aws.client("ec2").describe_images(ImageIds=[chosen])["Images"]
        except ClientError as error:
            if error_code(error) not in _UNKNOWN:
                raise
            found = []
    if not found:
        raise InvalidArgument(
            f"{aws.region} has no image {chosen}",
            why="an image belongs to one region" if ami else "the SSM parameter is outdated",
            hint="use an --ami of this region, or the --region of the image",
        )
    architecture = found[0].get("Architecture", kind.architecture)
    if architecture != kind.architecture:
        raise InvalidArgument(
            f"image {chosen} does not run on {kind.name}",
            why=f"its architecture is {architecture}; the instance type has {kind.architecture}",
            hint="omit --ami to use a matching image",
        )
    return _image(chosen, found[0])


def volume_gib(image: Image, wanted: int | None) -> int:
    """Return the size of the root volume in GiB.

    Raises:
        InvalidArgument: The volume is too small for the image.
    """
    if wanted is not None and wanted < image.min_gib:
        raise InvalidArgument(
            f"--volume-size {wanted} is too small", why=f"the image needs {image.min_gib} GiB"
        )
    return wanted or max(DEFAULT_GIB, image.min_gib)


def _newest(aws: AwsSession, kind: InstanceType) -> str:
    name = NEWEST.format(kind.architecture)
    with aws_errors("ssm:GetParameter", "find the newest Amazon Linux image", aws.region):
        try:
            found = aws.client("ssm").get_parameter(Name=name)
        except ClientError as error:
            if error_code(error) != "ParameterNotFound":
                raise
            raise AccessDenied(
                f"SSM in {aws.region} does not have the newest Amazon Linux 2023 image",
                why=f"there is no parameter {name}",
                hint="set an image with --ami",
            ) from None
    return str(found["Parameter"]["Value"])


def _image(ami: str, found: dict[str, Any]) -> Image:
    device = str(found.get("RootDeviceName") or "/dev/xvda")
    sizes = [
        each["Ebs"].get("VolumeSize", 0)
        for each in found.get("BlockDeviceMappings", [])
        if each.get("DeviceName") == device and "Ebs" in each
    ]
    return Image(ami, str(found.get("Name") or ""), device, max([1, *sizes]))
