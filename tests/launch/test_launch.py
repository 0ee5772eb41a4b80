"""Resources that a launch creates in AWS, its output, and their reuse by the next launch."""

import json
import os
import re
import stat
from typing import Any

import pytest
from tests.launch.conftest import FROM, NOTHING, TYPE, Person
from tests.support.queues import job

from spawn.cli.sources import instance_queue_location
from spawn.cli.ssh.reach import TAG_USER, InstanceAccess
from spawn.store.aws import resource_names, tags
from spawn.store.aws.resource_names import GROUP
from spawn.store.queue_dir.paths import roots


def _tags(found: dict[str, Any]) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in found["Tags"]}


def _attribute(person: Person, instance_id: str, name: str) -> Any:
    client = person.aws.client("ec2")
    found = client.describe_instance_attribute(InstanceId=instance_id, Attribute=name)
    return found[name[0].upper() + name[1:]].get("Value")


def test_a_launch_creates_missing_resources_and_starts_one_instance(person: Person) -> None:
    env = person.folder / "jobs.env"
    env.write_text("TOKEN=hunter2\n")
    flags = ("--env-file", str(env), "--tag", "project=digits", "--on-complete", "terminate")
    done = person.launch(*flags, "--ttl", "8h", "--volume-size", "50")
    assert done.code == 0, done.err
    (found,) = person.instances()
    instance_id = found["InstanceId"]
    assert done.out == f"{instance_id}\n"
    assert found["InstanceType"] == TYPE
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    location = f"s3://spawn-results-us-east-1/{person.queue_id}/"
    told = _tags(found)
    launch_id = told.pop("spawn:launch-id")
    assert len(launch_id) == 32
    assert told.pop(tags.ENVIRONMENT) == resource_names.parameter_name(person.queue_id, launch_id)
    assert told == {
        instance_queue_location.TAG_QUEUE: person.queue_id,
        instance_queue_location.TAG_RESULTS: location,
        TAG_USER: "ec2-user",
        "Name": person.queue_id,
        "project": "digits",
    }
    shutdown = _attribute(person, instance_id, "instanceInitiatedShutdownBehavior")
    assert shutdown == "terminate"
    ec2 = person.aws.client("ec2")
    (device,) = found["BlockDeviceMappings"]
    (volume,) = ec2.describe_volumes(VolumeIds=[device["Ebs"]["VolumeId"]])["Volumes"]
    assert (volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (50, "gp3", True)
    (group,) = found["SecurityGroups"]
    (rules,) = ec2.describe_security_groups(GroupIds=[group["GroupId"]])["SecurityGroups"]
    (rule,) = rules["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) == (22, 22, "tcp")
    assert [each["CidrIp"] for each in rule["IpRanges"]] == [FROM]
    (name,) = person.parameters()
    kept = person.aws.client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]
    assert (kept["Type"], kept["Value"]) == ("SecureString", "TOKEN=hunter2\n")
    assert "hunter2" not in done.err
    assert person.objects("_spawn/queue.json")
    for line in (
        f"spawn queue status {instance_id} --watch",
        f"spawn queue results {person.queue_id}",
        f"spawn terminate {instance_id}",
        "EC2 charges for the instance until the queue ends",
        "The queue stops at 20",
    ):
        assert line in done.err
    data = person.user_data(instance_id)
    assert data.startswith("#cloud-config\n")
    assert name in data
    assert "hunter2" not in data


def test_existing_resources_are_reused(person: Person) -> None:
    assert person.launch().code == 0
    before = person.made()
    person.name("second")
    done = person.launch()
    assert done.code == 0, done.err
    assert person.made() == before
    assert "Created bucket" not in done.err


def test_a_second_address_is_added_to_the_group(person: Person) -> None:
    assert person.launch().code == 0
    person.name("second")
    done = person.launch("--ssh-from", "203.0.113.0/24")
    assert done.code == 0, done.err
    filters = [{"Name": "group-name", "Values": [GROUP]}]
    (group,) = person.aws.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
    found = [each["CidrIp"] for rule in group["IpPermissions"] for each in rule["IpRanges"]]
    assert {FROM, "203.0.113.0/24"} <= set(found)


def test_the_key_is_private_and_is_authorized_on_the_instance(
    person: Person,
) -> None:
    done = person.launch()
    assert done.code == 0, done.err
    file = person.folder / "home/config/ssh/id_ed25519"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    none = person.folder / "ssh_config"
    none.write_text("")
    environ = {"SPAWN_HOME": str(person.folder / "home"), "SPAWN_SSH_CONFIG": str(none)}
    reach = InstanceAccess(
        done.out.strip(), roots(environ), environ={**environ, "PATH": "/usr/bin:/bin"}
    )
    settings = reach._settings()
    assert settings.identities[settings.named - 1] == str(file)


def test_later_commands_know_the_queues_location(person: Person) -> None:
    done = person.launch()
    assert done.code == 0, done.err
    shown = person.spawn("queue", "status", person.queue_id, "--from-s3")
    assert shown.code == 0, shown.err
    instance_id = done.out.strip()
    assert f"\nInstance: {instance_id} (booting since" in shown.out
    assert (person.folder / f"home/cache/instances/{instance_id}.json").exists()
    person.look("ec2").terminate_instances(InstanceIds=[instance_id])
    shown = person.spawn("queue", "status", person.queue_id, "--from-s3")
    assert f"\nInstance: {instance_id} (never started the queue, submitted" in shown.out
    shown = person.spawn("queue", "status", person.queue_id, "--from-s3", "--json")
    told = json.loads(shown.out)
    assert (told["status"], told["runner_alive"]) == ("pending", False)
    assert "booting" not in told["read_from"]


def test_a_dry_run_changes_nothing(person: Person) -> None:
    before = person.made()
    env = person.folder / "jobs.env"
    env.write_text("TOKEN=hunter2\n")
    work = person.folder / "work"
    work.mkdir()
    empty = person.launch("--dry-run", "--sync", str(work))
    assert (empty.code, "has nothing to sync" in empty.err) == (2, True)
    (work / "data").write_bytes(os.urandom(3_000_000))
    flags = ("--env-file", str(env), "--spot", "--bucket", "b-dry-run", "--sync", str(work))
    done = person.launch("--dry-run", *flags)
    assert (done.code, done.err) == (0, ""), done
    assert person.made() == before
    assert person.costs() == NOTHING
    assert person.objects() == []
    assert not (person.folder / "home").exists()
    assert f"Would run queue {person.queue_id} in s3://b-dry-run/" in done.out
    assert "Bucket: b-dry-run would be created" in done.out
    assert "spot, one-time" in done.out
    assert re.search(r"(?m)^Upload: 3\.\d+ MB: spawn, .*/work$", done.out)
    assert "hunter2" not in done.out


def test_the_environment_is_deleted_with_its_instance(person: Person) -> None:
    env = person.folder / "jobs.env"
    env.write_text("TOKEN=hunter2\n")
    launched = person.launch("--env-file", str(env))
    assert launched.code == 0, launched.err
    (name,) = person.parameters()
    instance_id = launched.out.strip()
    person.look("ec2").terminate_instances(InstanceIds=[instance_id])  # as the instance does itself
    ended = person.spawn("terminate", instance_id)
    assert ended.code == 0, ended.err
    assert f"Deleted the jobs' environment ({name}) from SSM" in ended.err
    assert person.costs()["parameters"] == []
    assert person.spawn("terminate", instance_id).err == ""


def test_a_tag_that_names_another_parameter_deletes_nothing(person: Person) -> None:
    launched = person.launch()
    assert launched.code == 0, launched.err
    ssm, ec2 = person.look("ssm"), person.look("ec2")
    ssm.put_parameter(Name="/somebody/elses", Type="String", Value="x", Overwrite=True)
    told = [{"Key": tags.ENVIRONMENT, "Value": "/somebody/elses"}]
    ec2.create_tags(Resources=[launched.out.strip()], Tags=told)
    ended = person.spawn("terminate", launched.out.strip(), "--yes", "--force")
    assert ended.code == 0, ended.err
    assert "Instance i-" in ended.out
    assert "SSM" not in ended.err
    assert ssm.get_parameter(Name="/somebody/elses")["Parameter"]["Value"] == "x"


def test_missing_variables_and_a_missing_ssh_access_give_warnings(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the laptop, which the instance has not")
    wants = {"A": "${TOKEN} ${HOME}", "B": "${SECRET}"}
    file = person.config(job("one", "true", environment=wants), job("two", "true"))
    env = person.folder / "jobs.env"
    env.write_text("TOKEN=hunter2\n")
    ec2 = person.look("ec2")
    (first, *_) = ec2.describe_subnets()["Subnets"]
    made = ec2.create_subnet(VpcId=first["VpcId"], CidrBlock="172.31.250.0/24")["Subnet"]
    try:
        flags = ("--dry-run", "--env-file", str(env), "--subnet-id", made["SubnetId"])
        done = person.launch(*flags, file=file)
        assert done.code == 0, done.err
        public, job_ = done.err.splitlines()
        assert public.startswith(f"Warning: {made['SubnetId']} gives no public address")
        assert "job one will fail" in job_
        assert "${SECRET}" in job_
        person.config(job("one", "true"))
        assert person.launch("--dry-run", "--subnet-id", first["SubnetId"]).err == ""
    finally:
        ec2.delete_subnet(SubnetId=made["SubnetId"])


def test_the_instance_gets_the_launchers_encryption_settings(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert person.launch().code == 0, "it creates the bucket"
    person.name("second")
    monkeypatch.setenv("SPAWN_SSE", "AES256")
    monkeypatch.setenv("SPAWN_BUCKET_OWNER", "123456789012")
    done = person.launch()
    assert done.code == 0, done.err
    data = person.user_data(done.out.strip())
    for line in ("Environment=SPAWN_SSE=AES256", "Environment=SPAWN_BUCKET_OWNER=123456789012"):
        assert line in data


def test_an_arm_instance_type_gets_an_arm_image(person: Person) -> None:
    done = person.spawn(
        "launch", "--instance-type", "m7g.large", "--batch-queue", str(person.file), "--dry-run"
    )
    assert done.code == 0, done.err
    assert "m7g.large (arm64" in done.out


def test_a_queue_without_an_id_is_named_after_the_current_time(person: Person) -> None:
    file = person.folder / "nameless.json"
    file.write_text('{"jobs": [{"job_id": "one", "command": "true"}]}')
    first = person.launch("--dry-run", file=file)
    assert first.code == 0, first.err
    assert "Would run queue queue-20" in first.out


def test_the_tags_are_those_that_other_commands_read() -> None:
    assert (tags.QUEUE, tags.RESULTS) == (
        instance_queue_location.TAG_QUEUE,
        instance_queue_location.TAG_RESULTS,
    )
    assert tags.USER == TAG_USER
