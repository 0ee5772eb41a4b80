"""An instance counts as gone only when EC2 itself says so."""

import pytest
from tests.support.answers import Answer, answering, error
from tests.support.ec2 import IMAGE
from tests.support.s3 import CREDENTIALS, Server, free_port

from spawn.store.aws.ec2_instances import state_of


@pytest.fixture
def aws(moto_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """moto's EC2; no instance really runs."""
    for name, value in moto_server.environ.items():
        monkeypatch.setenv(name, value)
    return moto_server


def _instance(server: Server) -> str:
    client = server.client("ec2")
    found = client.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)
    return str(found["Instances"][0]["InstanceId"])


def test_a_running_instance_is_not_gone(aws: Server) -> None:
    assert state_of(_instance(aws), "us-east-1", None) == ""


def test_a_stopped_or_terminated_instance_is_gone(aws: Server) -> None:
    instance_id = _instance(aws)
    aws.client("ec2").stop_instances(InstanceIds=[instance_id])
    assert state_of(instance_id, "us-east-1", None) == "stopped"
    aws.client("ec2").start_instances(InstanceIds=[instance_id])
    assert state_of(instance_id, "us-east-1", None) == ""
    aws.client("ec2").terminate_instances(InstanceIds=[instance_id])
    assert state_of(instance_id, "us-east-1", None) == "terminated"


def test_the_state_of_an_unknown_instance_is_unknown(aws: Server) -> None:
    assert state_of("i-0123456789abcdef0", "us-east-1", None) == ""
    assert state_of("no-instance-id", "us-east-1", None) == ""


def test_an_instance_of_another_region_is_not_found(aws: Server) -> None:
    instance_id = _instance(aws)
    aws.client("ec2").terminate_instances(InstanceIds=[instance_id])
    assert state_of(instance_id, "eu-west-1", None) == ""


@pytest.mark.parametrize("state", ["pending", "shutting-down", "stopping", "running"])
def test_an_instance_that_is_starting_or_stopping_is_not_gone(
    monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    xml = (
        "<DescribeInstancesResponse><reservationSet><item><instancesSet><item>"
        f"<instanceId>i-1</instanceId><instanceState><name>{state}</name></instanceState>"
        "</item></instancesSet></item></reservationSet></DescribeInstancesResponse>"
    )
    with answering(lambda _: Answer(body=xml.encode())) as server:
        for name, value in server.server.environ.items():
            monkeypatch.setenv(name, value)
        assert state_of("i-1", "us-east-1", None) == ""
        assert server.asked


def test_without_access_to_ec2_the_state_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with answering(lambda _: error(403, "UnauthorizedOperation")) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        assert state_of("i-1", "us-east-1", None) == ""
        assert server.asked
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    assert state_of("i-1", "us-east-1", None) == ""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    assert state_of("i-1", "us-east-1", None) == ""
    assert state_of("i-1", "us-east-1", "no-such-profile") == ""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert state_of("i-1", "us-east-1", None) == ""
