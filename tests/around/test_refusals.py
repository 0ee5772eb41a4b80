"""Cases in which `spawn terminate` refuses, and the resources that it reports as left."""

import pytest
from tests.around.conftest import Spawn, become
from tests.support.answers import Answer, RecordedRequest, answering, forward
from tests.support.ec2 import launched, state_of
from tests.support.s3 import Server


def test_terminate_needs_a_terminal_or_yes(aws: Server, spawn: Spawn) -> None:
    ours = launched(aws)
    done = spawn("terminate", ours, "--force")
    assert done.code == 2
    assert "--yes skips the confirmation" in done.err
    assert state_of(aws, ours) == "running"


def test_force_does_not_terminate_an_instance_without_a_queue_tag(
    aws: Server, spawn: Spawn
) -> None:
    other = launched(aws, None)
    done = spawn("terminate", other, "--yes", "--force")
    assert (done.code, done.out) == (1, "")
    why = "was not launched for a queue: it has no tag spawn:queue-id"
    assert f"instance {other} {why}" in done.err
    assert state_of(aws, other) == "running"


def test_termination_protection_is_reported_with_how_to_remove_it(
    aws: Server, spawn: Spawn
) -> None:
    ours = launched(aws)
    aws.client("ec2").modify_instance_attribute(
        InstanceId=ours, DisableApiTermination={"Value": True}
    )
    done = spawn("terminate", ours, "--yes", "--force")
    assert (done.code, done.out) == (1, "")
    assert f"instance {ours} is protected from termination" in done.err
    assert "--no-disable-api-termination`" in done.err
    assert state_of(aws, ours) == "running"


def test_force_terminates_and_names_the_remaining_resources(aws: Server, spawn: Spawn) -> None:
    volume = {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 8, "DeleteOnTermination": False}}
    ours = launched(aws, BlockDeviceMappings=[volume])
    done = spawn("terminate", ours, "--yes", "--force")
    assert (done.code, done.out) == (0, f"Instance {ours} is shutting-down\n")
    assert "The log and results stay in s3://nobodys/q/" in done.err
    assert "These volumes remain and cost money until you delete them: vol-" in done.err
    again = spawn("terminate", ours)
    assert (again.code, again.out, again.err) == (0, f"Instance {ours} is already terminated\n", "")


def test_an_open_spot_request_is_named(
    aws: Server, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = launched(aws)

    def answer(asked: RecordedRequest) -> Answer:
        """Add the spot request to moto's answer, which lacks it."""
        said = forward(aws, asked)
        request = b"</instanceId><spotInstanceRequestId>sir-0123</spotInstanceRequestId>"
        if b"Action=DescribeInstances" not in asked.body:
            return said
        return Answer(said.status, said.body.replace(b"</instanceId>", request), said.headers)

    with answering(answer) as server:
        become(server.server, monkeypatch)
        done = spawn("terminate", ours, "--yes", "--force")
    assert done.code == 0
    assert "--spot-instance-request-ids sir-0123`" in done.err


def test_an_instance_is_kept_when_s3_cannot_be_checked(
    aws: Server, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = launched(aws)
    aws.client("ec2").stop_instances(InstanceIds=[ours])
    done = spawn("terminate", ours, "--yes")
    assert (done.code, done.out) == (1, "")
    assert "cannot determine what of queue q is in S3" in done.err
    assert "there is no bucket nobodys" in done.err
    assert "`--force` terminates it anyway" in done.err
    assert state_of(aws, ours) == "stopped"
