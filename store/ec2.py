"""Ask EC2 what became of an instance."""

from botocore.exceptions import BotoCoreError, ClientError

from spawn.store.objects.aws import connect
from spawn.store.objects.port import Denied

_GONE = {"stopped", "terminated"}


def state_of(instance_id: str, region: str | None, profile: str | None) -> str:
    """Say that an instance is stopped or terminated; empty when it may run something.

    An instance that EC2 does not know is not said to be gone: it may be another account's.
    """
    try:
        client = connect("ec2", region, profile)
        found = client.describe_instances(InstanceIds=[instance_id])
    except (BotoCoreError, ClientError, Denied):
        return ""
    for reservation in found["Reservations"]:
        for each in reservation["Instances"]:
            state = each["State"]["Name"]
            if each["InstanceId"] == instance_id and state in _GONE:
                return str(state)
    return ""
