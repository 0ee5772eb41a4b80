"""Start an instance once, whatever becomes of the replies; and end it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.launch.tags import LAUNCH, QUEUE, RESULTS
from spawn.core.launch.wanted import Wanted
from spawn.store.ec2.errors import asking
from spawn.store.ec2.image import Image
from spawn.store.ec2.session import Aws
from spawn.store.objects.aws import code_of
from spawn.store.objects.port import Unavailable

Pause = Callable[[float], None]

_TRIES = 5
"""Of a request whose reply was lost: its token makes it one."""
_PAUSE_SECONDS = 2.0
_PROFILE_TRIES = 30
"""A minute: how long a new profile may take until EC2 knows it."""
_LIVE = ("pending", "running", "stopping", "stopped")
_GONE = ("shutting-down", "terminated")


class Order(Struct, frozen=True, kw_only=True):
    """All that EC2 is told. None and empty: left out."""

    wanted: Wanted
    launch_id: str
    image: Image
    volume_gib: int
    tags: dict[str, str]
    group_id: str = ""
    key_name: str = ""
    profile: str = ""
    user_data: bytes = b""


def may_run(aws: Aws, order: Order) -> None:
    """Ask EC2 whether it would start the instance; nothing is made.

    Raises:
        StoreError: It would not.
    """
    with asking("ec2:RunInstances", "start an instance", aws.region):
        try:
            aws.client("ec2").run_instances(**_request(order), DryRun=True)
        except ClientError as error:
            if code_of(error) != "DryRunOperation":
                raise


def run(aws: Aws, order: Order, *, pause: Pause = time.sleep) -> str:
    """Start the instance; returns its id.

    Raises:
        Denied: EC2 will not: nothing was started.
        Unavailable: It does not answer, and something may have been started: `find` tells.
    """
    lost = unknown = 0
    while True:
        try:
            with asking("ec2:RunInstances", "start an instance", aws.region):
                try:
                    found = aws.client("ec2").run_instances(
                        **_request(order), ClientToken=order.launch_id
                    )
                except ClientError as error:
                    unknown += 1
                    if not _profile_is_new(error) or unknown == _PROFILE_TRIES:
                        raise
                    pause(_PAUSE_SECONDS)
                    continue
                return str(found["Instances"][0]["InstanceId"])
        except Unavailable:
            lost += 1
            if lost == _TRIES:
                raise
            pause(_PAUSE_SECONDS)


def find(aws: Aws, launch_id: str) -> str:
    """The instance that a launch has started and that is not gone; empty when there is none.

    Raises:
        StoreError: EC2 cannot be asked.
    """
    found = _tagged(aws, {LAUNCH: launch_id})
    return found[0] if found else ""


def was_started(aws: Aws, launch_id: str) -> bool:
    """Whether EC2 shows an instance of a launch, whatever has become of it.

    Raises:
        StoreError: EC2 cannot be asked.
    """
    return bool(_tagged(aws, {LAUNCH: launch_id}, states=(*_LIVE, *_GONE)))


def of_queue(aws: Aws, queue_id: str, location: str) -> list[str]:
    """The instances that were launched for a queue and are not gone.

    Raises:
        StoreError: EC2 cannot be asked.
    """
    return _tagged(aws, {QUEUE: queue_id, RESULTS: location})


def terminate(aws: Aws, instance_id: str) -> None:
    """End an instance.

    Raises:
        StoreError: It may not be ended.
    """
    with asking("ec2:TerminateInstances", "terminate the instance", aws.region):
        aws.client("ec2").terminate_instances(InstanceIds=[instance_id])


def _tagged(aws: Aws, tags: Mapping[str, str], *, states: tuple[str, ...] = _LIVE) -> list[str]:
    filters = [{"Name": f"tag:{key}", "Values": [_literal(value)]} for key, value in tags.items()]
    filters.append({"Name": "instance-state-name", "Values": list(states)})
    with asking("ec2:DescribeInstances", "look for instances", aws.region):
        pages = aws.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
        return [
            str(each["InstanceId"])
            for page in pages
            for reservation in page["Reservations"]
            for each in reservation["Instances"]
        ]


def _literal(value: str) -> str:
    """A filter's value that means itself. Source: "Filter the output" of the EC2 user guide."""
    return "".join(f"\\{each}" if each in "\\*?" else each for each in value)


def _profile_is_new(error: ClientError) -> bool:
    said = str(error.response.get("Error", {}).get("Message", ""))
    return code_of(error) == "InvalidParameterValue" and "iam instance profile" in said.lower()


def _request(order: Order) -> dict[str, Any]:
    wanted = order.wanted
    tags = [{"Key": key, "Value": value} for key, value in order.tags.items()]
    more: dict[str, Any] = {
        "SubnetId": wanted.subnet_id,
        "SecurityGroupIds": [order.group_id] if order.group_id else None,
        "KeyName": order.key_name,
        "IamInstanceProfile": {"Name": order.profile} if order.profile else None,
        # boto3 encodes it as base64
        "UserData": order.user_data.decode() if order.user_data else None,
        "InstanceMarketOptions": _SPOT if wanted.spot else None,
    }
    return {
        "ImageId": order.image.ami,
        "InstanceType": wanted.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "BlockDeviceMappings": [
            {
                "DeviceName": order.image.device,
                "Ebs": {
                    "VolumeSize": order.volume_gib,
                    "VolumeType": "gp3",
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                },
            }
        ],
        # Two hops: a job in a container is one further away, and needs the role as well.
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpEndpoint": "enabled",
            "HttpPutResponseHopLimit": 2,
        },
        "InstanceInitiatedShutdownBehavior": wanted.at_shutdown,
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": tags},
            {"ResourceType": "volume", "Tags": tags},
        ],
        **{key: value for key, value in more.items() if value},
    }


_SPOT = {
    "MarketType": "spot",
    "SpotOptions": {
        "SpotInstanceType": "one-time",
        "InstanceInterruptionBehavior": "terminate",
    },
}
