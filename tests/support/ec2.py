"""Instances in moto as `spawn launch` creates them: tagged, with a role."""

from typing import Any

from tests.support.answers import Answer
from tests.support.s3 import Server

IMAGE = "ami-12c6146b"
"""One of moto's images: listing them takes seconds."""


def launched(aws: Server, queue_id: str | None = "q", **more: Any) -> str:
    """Launch an instance for a queue; returns its id.

    Args:
        queue_id: None for no queue tag.
        more: Arguments of `RunInstances`.
    """
    client = aws.client("ec2")
    tags = [{"Key": "Name", "Value": "pipeline"}]
    if queue_id is not None:
        tags += [
            {"Key": "spawn:queue-id", "Value": queue_id},
            {"Key": "spawn:results-location", "Value": f"s3://nobodys/{queue_id}/"},
        ]
    found = client.run_instances(
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        **{"InstanceType": "m7i.large", **more},
    )
    return str(found["Instances"][0]["InstanceId"])


def refusal(status: int, code: str) -> Answer:
    """An error in EC2's format."""
    said = f"<Errors><Error><Code>{code}</Code><Message>said EC2</Message></Error></Errors>"
    return Answer(status, f"<Response>{said}</Response>".encode())


def state_of(aws: Server, instance_id: str) -> str:
    """Return the instance's state in EC2."""
    found = aws.client("ec2").describe_instances(InstanceIds=[instance_id])
    return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])
