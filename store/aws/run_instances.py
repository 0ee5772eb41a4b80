"""Start an instance exactly once, even if replies are lost; find and terminate it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.store.aws.errors import aws_errors
from spawn.store.aws.image import Image
from spawn.store.aws.instance_request import InstanceRequest
from spawn.store.aws.session import AwsSession
from spawn.store.aws.tags import LAUNCH, QUEUE, RESULTS
from spawn.store.objects.aws import error_code
from spawn.store.objects.interface import Unavailable

Pause = Callable[[float], None]

_TRIES = 5
"""Tries of a request whose reply was lost; the client token makes it idempotent."""
_PAUSE_SECONDS = 2.0
_PROFILE_TRIES = 30
"""Tries until EC2 knows a new instance profile; a minute in total."""
_LIVE = ("pending", "running", "stopping", "stopped")
_GONE = ("shutting-down", "terminated")


class RunInstancesRequest(Struct, frozen=True, kw_only=True):
    """The parameters of an instance. Empty values are not sent."""

    wanted: InstanceRequest
    launch_id: str
    image: Image
    volume_gib: int
    tags: dict[str, str]
    group_id: str = ""
    key_name: str = ""
    profile: str = ""
    user_data: bytes = b""


def dry_run(aws: AwsSession, order: RunInstancesRequest) -> None:
    """Check with a dry run whether EC2 would start the instance.

    Raises:
        StoreError: EC2 would not start it, or does not answer.
    """
    with aws_errors("ec2:RunInstances", "start an instance", aws.region):
        try:
            aws.client("ec2").run_instances(**_request(order), DryRun=True)
        except ClientError as error:
            if error_code(error) != "DryRunOperation":
                raise


def start_instance(
    aws: AwsSession, order: RunInstancesRequest, *, pause: Pause = time.sleep
) -> str:
    """Start the instance; return its id.

    Raises:
        Denied: EC2 rejected the request; no instance was started.
        Unavailable: EC2 does not answer; use `find_launched` to check whether it started.
    """
    lost = unknown = 0
    while True:
        try:
            with aws_errors("ec2:RunInstances", "start an instance", aws.region):
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


def find_launched(aws: AwsSession, launch_id: str) -> str:
    """Return the live instance of a launch; empty if there is none.

    Raises:
        StoreError: The request failed.
    """
    found = _find_tagged(aws, {LAUNCH: launch_id})
    return found[0] if found else ""


def was_started(aws: AwsSession, launch_id: str) -> bool:
    """Whether EC2 lists an instance of a launch, in any state.

    Raises:
        StoreError: The request failed.
    """
    return bool(_find_tagged(aws, {LAUNCH: launch_id}, states=(*_LIVE, *_GONE)))


def find_queue_instances(aws: AwsSession, queue_id: str, location: str) -> list[str]:
    """Return the live instances of a queue.

    Raises:
        StoreError: The request failed.
    """
    return _find_tagged(aws, {QUEUE: queue_id, RESULTS: location})


def terminate(aws: AwsSession, instance_id: str) -> None:
    """Terminate an instance.

    Raises:
        StoreError: The request failed.
    """
    with aws_errors("ec2:TerminateInstances", "terminate the instance", aws.region):
        aws.client("ec2").terminate_instances(InstanceIds=[instance_id])


def _find_tagged(
    aws: AwsSession, tags: Mapping[str, str], *, states: tuple[str, ...] = _LIVE
) -> list[str]:
    filters = [{"Name": f"tag:{key}", "Values": [_literal(value)]} for key, value in tags.items()]
    filters.append({"Name": "instance-state-name", "Values": list(states)})
    with aws_errors("ec2:DescribeInstances", "find instances", aws.region):
        pages = aws.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
        return [
            str(each["InstanceId"])
            for page in pages
            for reservation in page["Reservations"]
            for each in reservation["Instances"]
        ]


def _literal(value: str) -> str:
    """Escape a filter value. Source: "Filter the output" of the EC2 user guide."""
    return "".join(f"\\{each}" if each in "\\*?" else each for each in value)


def _profile_is_new(error: ClientError) -> bool:
    message = str(error.response.get("Error", {}).get("Message", ""))
    return (
        error_code(error) == "InvalidParameterValue" and "iam instance profile" in message.lower()
    )


def _request(order: RunInstancesRequest) -> dict[str, Any]:
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
        # Two hops, so that jobs in containers can use the role.
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
