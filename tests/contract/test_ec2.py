"""Only what EC2 itself says to be gone is gone."""

import pytest
from tests.support.answers import Answer, answering, error
from tests.support.ec2 import IMAGE
from tests.support.s3 import CREDENTIALS, Server, free_port

from spawn.store.instances import state_of


@pytest.fixture
def aws(moto_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """EC2 as moto knows it; nothing ever runs there."""
    for name, value in moto_server.environ.items():
        monkeypatch.setenv(name, value)
    return moto_server


def _instance(server: Server) -> str:
    client = server.client("ec2")
    found = client.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)
    return str(found["Instances"][0]["InstanceId"])


def test_an_instance_that_runs_is_not_said_to_be_gone(aws: Server) -> None:
    assert state_of(_instance(aws), "us-east-1", None) == ""


def test_one_that_was_stopped_or_terminated_is_said_to_be_so(aws: Server) -> None:
    instance_id = _instance(aws)
    aws.client("ec2").stop_instances(InstanceIds=[instance_id])
    assert state_of(instance_id, "us-east-1", None) == "stopped"
    aws.client("ec2").start_instances(InstanceIds=[instance_id])
    assert state_of(instance_id, "us-east-1", None) == ""
    aws.client("ec2").terminate_instances(InstanceIds=[instance_id])
    assert state_of(instance_id, "us-east-1", None) == "terminated"


def test_one_that_is_not_known_may_be_anothers(aws: Server) -> None:
    assert state_of("i-0123456789abcdef0", "us-east-1", None) == ""
    assert state_of("no-instance-id", "us-east-1", None) == ""


def test_one_of_another_region_is_not_found_in_this_one(aws: Server) -> None:
    instance_id = _instance(aws)
    aws.client("ec2").terminate_instances(InstanceIds=[instance_id])
    assert state_of(instance_id, "eu-west-1", None) == ""


@pytest.mark.parametrize("state", ["pending", "shutting-down", "stopping", "running"])
def test_one_that_is_on_its_way_may_still_run_something(
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


def test_without_rights_a_server_or_credentials_nothing_is_known(
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
