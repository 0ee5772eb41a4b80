"""The image that an instance starts from."""

from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.errors import InvalidArgument
from spawn.core.launch.wanted import DEFAULT_GIB
from spawn.store.ec2.errors import asking
from spawn.store.ec2.kind import Kind
from spawn.store.ec2.session import Aws
from spawn.store.objects.aws import code_of
from spawn.store.objects.port import Denied

NEWEST = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}"
"""Source: "Amazon Linux 2023 user guide", launching with the SSM parameter."""
_UNKNOWN = {"InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable"}


class Image(Struct, frozen=True):
    """An image: its root device, and the least size of its volume in GiB."""

    ami: str
    name: str
    device: str
    least_gib: int


def image(aws: Aws, kind: Kind, ami: str | None) -> Image:
    """Find the image: the one that was named, else the newest Amazon Linux 2023 for the type.

    Raises:
        InvalidArgument: There is none of that id here, or it does not run on the type.
        StoreError: AWS cannot be asked.
    """
    chosen = ami or _newest(aws, kind)
    with asking("ec2:DescribeImages", "look at an image", aws.region):
        try:
            found = aws.client("ec2").describe_images(ImageIds=[chosen])["Images"]
        except ClientError as error:
            if code_of(error) not in _UNKNOWN:
                raise
            found = []
    if not found:
        raise InvalidArgument(
            f"{aws.region} has no image {chosen}",
            why="images belong to a region" if ami else "its parameter names one that is gone",
            hint="--ami names one of this region, or --region the image's",
        )
    architecture = found[0].get("Architecture", kind.architecture)
    if architecture != kind.architecture:
        raise InvalidArgument(
            f"image {chosen} does not run on {kind.name}",
            why=f"it is {architecture}, the instance type {kind.architecture}",
            hint="without --ami an image that fits is taken",
        )
    return _image(chosen, found[0])


def volume_gib(image: Image, wanted: int | None) -> int:
    """How large the root volume is to be.

    Raises:
        InvalidArgument: The image does not fit.
    """
    if wanted is not None and wanted < image.least_gib:
        raise InvalidArgument(
            f"--volume-size {wanted} is too small", why=f"the image has {image.least_gib} GiB"
        )
    return wanted or max(DEFAULT_GIB, image.least_gib)


def _newest(aws: Aws, kind: Kind) -> str:
    name = NEWEST.format(kind.architecture)
    with asking("ssm:GetParameter", "look the newest Amazon Linux up", aws.region):
        try:
            found = aws.client("ssm").get_parameter(Name=name)
        except ClientError as error:
            if code_of(error) != "ParameterNotFound":
                raise
            raise Denied(
                f"SSM in {aws.region} does not know the newest Amazon Linux 2023",
                why=f"there is no parameter {name}",
                hint="--ami names an image",
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
