"""Every failure of a launch leaves nothing that costs money, and prints what to do."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from tests.launch.conftest import (
    LAUNCH,
    NOTHING,
    Front,
    Person,
    capacity,
    refusal,
    starts,
)
from tests.support.answers import Answer, RecordedRequest, answering, error, forward
from tests.support.queues import SECONDS, SPAWN
from tests.support.s3 import free_port

from spawn.cli.launch import launch as launches
from spawn.core.errors import SpawnError
from spawn.store.aws import key_pairs, network, resource_names, run_instances
from spawn.store.aws.errors import aws_errors
from spawn.store.objects.interface import AccessDenied


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_instances, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(launches, "_LOOK_SECONDS", 0.0)


def _env(person: Person) -> tuple[str, str]:
    file = person.folder / "jobs.env"
    file.write_text("TOKEN=hunter2\n")
    return "--env-file", str(file)


# errors before any request


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--ttl", "1s"), "--ttl 1s is too short"),
        (("--ttl", "soon"), "--ttl soon"),
        (("--tag", "aws:x=1"), "AWS reserves"),
        (("--tag", "spawn:queue-id=q"), "spawn reserves"),
        (("--tag", "novalue"), "KEY=VALUE"),
        (("--on-complete", "explode"), "keep, stop, terminate"),
        (("--spot", "--on-complete", "stop"), "one-time spot"),
        (("--volume-size", "0"), "1 to 16384"),
        (("--ssh-from", "0.0.0.0/0"), "every address"),
        (("--ssh-from", "home"), "--ssh-from home is not an address"),
        (("--security-group", "sg-1", "--ssh-from", "10.0.0.0/8"), "be used with --ssh-from"),
        (("--ami", "al2023"), "--ami ami-"),
        (("--sync", "nowhere"), "--sync nowhere is not a readable folder"),
        (("--setup", "nowhere"), "--setup nowhere cannot be read"),
        (("--env-file", "nowhere"), "--env-file nowhere cannot be read"),
        (("--queue-id", "local"), "cannot be a queue id"),
        (("--prefix", "../x"), "the part '.' or '..'"),
        (("--prefix", "/a//b/"), "has an empty part"),
        (("--resume", "other"), "--resume excludes --batch-queue"),
        (("--retry-failed",), "require --resume"),
        (("--region", "mars"), "us-east-1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_invalid_options_fail_without_a_request(
    person: Person, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], said: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    done = person.launch(*flags)
    assert (done.code, done.out) == (2, ""), done
    assert said in done.err


def test_a_setup_with_windows_line_ends_is_rejected(person: Person) -> None:
    setup = person.folder / "setup.sh"
    setup.write_bytes(b"#!/bin/bash\r\ndnf install -y gcc\r\n")
    done = person.launch("--setup", str(setup), "--dry-run")
    assert (done.code, done.out) == (2, "")
    assert "CR LF" in done.err


def test_an_invalid_configuration_is_reported_first(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    bad = person.folder / "bad.json"
    bad.write_text('{"jobs": [{"job_id": "a", "command": "true", "depends_on": ["b"]}]}')
    done = person.launch(file=bad)
    assert done.code == 2
    assert "jobs[0].depends_on" in done.err
    done = person.spawn(*LAUNCH)
    assert (done.code, "--batch-queue" in done.err) == (2, True)


def test_an_unknown_region_is_reported_when_it_does_not_answer(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    done = person.launch("--region", "eu-nowhere-1")
    assert (done.code, done.out) == (1, "")
    assert "check that eu-nowhere-1 is a region; --region sets another one" in done.err
    assert "is a region;" not in person.launch("--region", "eu-west-1").err


# AWS errors before anything is created


def test_missing_credentials_are_reported_with_their_sources(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    done = person.launch()
    assert (done.code, done.out) == (1, "")
    assert "Unable to locate credentials" in done.err
    assert "--profile" in done.err


def test_a_missing_profile_is_named(person: Person) -> None:
    done = person.launch("--profile", "nobody")
    assert (done.code, done.out) == (1, "")
    assert "nobody" in done.err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--instance-type", "m99.huge"), "us-east-1 has no instance type m99.huge"),
        (("--ami", "ami-0123456789abcdef0"), "has no image ami-0123456789abcdef0"),
        (("--subnet-id", "subnet-0123456789abcdef0"), "has no subnet"),
        (("--security-group", "sg-0123456789abcdef0"), "has no security group"),
        (("--key-name", "nobody's"), "has no key pair nobody's"),
        (("--iam-instance-profile", "none"), "there is no instance profile none"),
        (("--volume-size", "1"), "--volume-size 1 is too small"),
        (("--bucket", "My_Bucket"), "bucket My_Bucket cannot be created"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_an_unavailable_type_or_image_creates_nothing(
    person: Person, flags: tuple[str, ...], said: str
) -> None:
    before = person.made()
    done = person.launch(*flags)
    assert (done.code, done.out) == (2, ""), done
    assert said in done.err
    assert person.made() == before


def test_an_unreachable_region_is_reported(person: Person, front: Front) -> None:
    front(lambda asked: refusal("AuthFailure", "not able to validate", 401))
    done = person.launch("--region", "ap-east-1")
    assert (done.code, done.out) == (1, "")
    assert "a region that is not enabled" in done.err


def test_an_unknown_own_address_opens_no_port(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPAWN_SSH_FROM")
    monkeypatch.setattr(network, "SERVICE", f"http://127.0.0.1:{free_port()}")
    before = person.made()
    done = person.launch()
    assert (done.code, done.out) == (1, "")
    assert "--ssh-from" in done.err
    assert person.made() == before


@pytest.mark.parametrize("said", [b"203.0.113.9\n", b"<html>", b""])
def test_our_address_is_valid_or_unknown(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(lambda _: Answer(body=said)) as server:
        monkeypatch.setattr(network, "SERVICE", server.endpoint)
        if said.startswith(b"203"):
            assert network.public_network() == "203.0.113.9/32"
            return
        with pytest.raises(AccessDenied):
            network.public_network()


def test_resources_with_our_name_and_without_our_tag_are_not_used(person: Person) -> None:
    ec2, iam = person.aws.client("ec2"), person.aws.client("iam")
    bucket = f"b-{person.folder.name[-30:].replace('_', '-')}"
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    here = ("--bucket", bucket, "--subnet-id", subnet)

    def refused(flag: str, *flags: str) -> None:
        done = person.launch(*here, *flags)
        assert (done.code, done.out) == (1, ""), done
        assert "was not created by spawn" in done.err
        assert flag in done.err

    role = resource_names.role_name("us-east-1", bucket)
    iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    refused("--iam-instance-profile")
    iam.delete_role(RoleName=role)
    group = ec2.create_security_group(GroupName=resource_names.GROUP, Description="x", VpcId=vpc)
    refused("--security-group")
    file = person.folder / "home/config/ssh/id_ed25519"
    key_pairs._generate(file)
    public = key_pairs._public_key(file)
    ec2.import_key_pair(KeyName=resource_names.key_pair_name(public), PublicKeyMaterial=public)
    refused("--key-name", "--security-group", group["GroupId"])
    assert person.costs() == NOTHING


def test_a_started_queue_is_not_launched_again(person: Person) -> None:
    assert person.launch().code == 0
    again = person.launch()
    assert (again.code, again.out) == (1, "")
    (found,) = person.instances()
    assert f"{found['InstanceId']} was launched for queue" in again.err
    assert "spawn terminate" in again.err
    person.claim()
    again = person.launch()
    assert (again.code, again.out) == (1, "")
    assert f"spawn launch --resume {person.queue_id}" in again.err


def test_a_prefix_of_another_queue_is_rejected(person: Person) -> None:
    assert person.launch().code == 0
    prefix = person.queue_id
    person.name("other")
    done = person.launch("--prefix", prefix)
    assert (done.code, done.out) == (1, "")
    assert "two queues cannot share a place" in done.err


# EC2 errors at the start of the instance


def test_a_failed_start_leaves_nothing_and_the_same_command_succeeds_later(
    person: Person, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    front(capacity)
    flags = _env(person)
    done = person.launch(*flags, "--spot")
    assert (done.code, done.out) == (1, ""), done
    assert "InsufficientInstanceCapacity" in done.err
    assert "--subnet-id in another zone" in done.err
    assert "hunter2" not in done.err
    assert person.costs() == NOTHING
    monkeypatch.setenv("AWS_ENDPOINT_URL", person.aws.endpoint)
    done = person.launch(*flags, "--spot")
    assert done.code == 0, done.err
    assert len(person.instances()) == 1


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("VcpuLimitExceeded", "Service Quotas"),
        ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", "create-service-linked-role"),
        ("MissingInput", "--subnet-id"),
        ("MaxSpotInstanceCountExceeded", "without --spot"),
        ("Unsupported", "another --instance-type"),
        ("SomethingNew", ""),
    ],
)
def test_ec2_errors_are_reported_with_hints(code: str, hint: str) -> None:
    status = 403 if code.startswith("AuthFailure.") else 400
    said = {
        "Error": {"Code": code, "Message": "said EC2"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    with pytest.raises(AccessDenied) as found, aws_errors("ec2:RunInstances", "start an instance"):
        raise ClientError(said, "RunInstances")
    assert found.value.why == f"{code}: said EC2"
    assert hint in found.value.hint


def test_a_start_with_a_lost_response_is_repeated_with_the_same_token(
    person: Person, front: Front
) -> None:
    """The front does what EC2 does: one token, one instance, the same answer."""
    answers: dict[bytes, Answer] = {}
    asked_for: list[bytes] = []

    def once(asked: RecordedRequest) -> Answer | None:
        if not starts(asked):
            return None
        (token,) = [part for part in asked.body.split(b"&") if part.startswith(b"ClientToken=")]
        asked_for.append(token)
        if token in answers:
            return answers[token]
        answers[token] = forward(person.aws, asked)
        return error(500, "InternalError")

    front(once)
    done = person.launch()
    assert done.code == 0, done.err
    assert len(asked_for) == 2
    (found,) = person.instances()
    assert done.out == f"{found['InstanceId']}\n"


@pytest.mark.parametrize("began", [True, False])
def test_a_start_without_any_response_is_searched_for(
    person: Person, front: Front, began: bool
) -> None:
    tried: list[RecordedRequest] = []

    def silent(asked: RecordedRequest) -> Answer | None:
        if not starts(asked):
            return None
        if began and not tried:
            forward(person.aws, asked)
        tried.append(asked)
        return error(503, "Unavailable")

    front(silent)
    done = person.launch(*_env(person))
    assert len(tried) > 1
    if began:
        assert done.code == 0, done.err
        (found,) = person.instances()
        assert done.out == f"{found['InstanceId']}\n"
    else:
        assert (done.code, done.out) == (1, ""), done
        assert person.costs() == NOTHING


def test_a_profile_that_ec2_does_not_know_yet_is_retried(person: Person, front: Front) -> None:
    message = "Value (spawn-queue) for parameter iamInstanceProfile.name is invalid. Invalid IAM "
    left = [refusal("InvalidParameterValue", f"{message}Instance Profile name")] * 3
    front(lambda asked: left.pop() if starts(asked) and left else None)
    done = person.launch()
    assert done.code == 0, done.err
    assert not left
    assert len(person.instances()) == 1


def test_resources_created_by_a_concurrent_launch_are_used(person: Person, front: Front) -> None:
    ec2 = person.aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.0.0/24")["Subnet"]["SubnetId"]
    makes = ("CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "ImportKeyPair", "CreateRole")
    makes += ("CreateInstanceProfile", "AddRoleToInstanceProfile")
    first: list[str] = []

    def twice(asked: RecordedRequest) -> Answer | None:
        action = asked.body.decode("latin-1").partition("Action=")[2].partition("&")[0]
        if action in makes:
            first.append(action)
            forward(person.aws, asked)
        return None

    front(twice)
    done = person.launch("--subnet-id", subnet, "--bucket", f"b-{os.getpid()}-meanwhile")
    assert done.code == 0, done.err
    assert sorted(set(first)) == sorted(makes)
    assert len(person.instances()) == 1


# interruptions


def _while(
    person: Person, front: Front, when: Callable[[RecordedRequest], bool], number: signal.Signals
) -> "subprocess.CompletedProcess[str]":
    """Launch in a separate process, which gets a signal at a certain AWS request."""
    process: list[subprocess.Popen[str]] = []

    def interrupt(asked: RecordedRequest) -> Answer | None:
        if not when(asked):
            return None
        answer = forward(person.aws, asked)
        process[0].send_signal(number)
        return answer

    made = front(interrupt)
    command = [SPAWN, *LAUNCH, "--batch-queue", str(person.file), *_env(person)]
    process.append(
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "AWS_ENDPOINT_URL": made.endpoint},
        )
    )
    out, err = process[0].communicate(timeout=4 * SECONDS)
    return subprocess.CompletedProcess(command, process[0].returncode, out, err)


def _keeps_environment(asked: RecordedRequest) -> bool:
    return asked.headers.get("x-amz-target", "").endswith("PutParameter")


@pytest.mark.parametrize(
    ("when", "number", "code"),
    [(starts, signal.SIGINT, 130), (_keeps_environment, signal.SIGTERM, 143)],
    ids=["Ctrl-C while it starts", "SIGTERM before"],
)
def test_an_interrupted_launch_removes_what_would_cost_money(
    person: Person,
    front: Front,
    when: Callable[[RecordedRequest], bool],
    number: signal.Signals,
    code: int,
) -> None:
    done = _while(person, front, when, number)
    assert done.returncode == code, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert person.costs() == NOTHING
    if when is starts:
        assert "terminated i-" in done.stderr


def test_an_unreadable_key_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "id_ed25519"
    file.write_text("nonsense")
    with pytest.raises(SpawnError, match="not a usable private key"):
        key_pairs._public_key(file)
