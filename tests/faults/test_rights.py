"""Whole queues with only the permissions of `docs/iam-policies.md`.

`tests/support/iam.py` documents what moto does not enforce.
"""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from tests.support import iam
from tests.support.answers import answering, forward
from tests.support.ec2 import IMAGE
from tests.support.iam import Account, Statement
from tests.support.imds import ENDPOINT, metadata
from tests.support.machines import Machines, check_replica, machines_in
from tests.support.queues import Finished, Queue, World, job, retry, until
from tests.support.s3 import CREDENTIALS
from tests.support.soak import gate_all_but_first

from spawn.store.aws import ec2_instances
from spawn.store.aws.fleet import instance_roles, list_instances, terminate_instance
from spawn.store.objects.interface import AccessDenied

HINT = "docs/iam-policies.md"
FIND = "FindInstance"
FORGET = "DeleteEnvironment"
CORE = ["WriteLogAndResults", "ReadLogAndResults", "ListBucket"]
READS = [
    ("verify", "q"),
    ("status", "q"),
    ("history", "q"),
    ("logs", "q", "train"),
    ("results", "q", "--output", "fetched"),
    ("list",),
    ("wait", "q"),
    ("why", "q", "train"),
    ("report", "q", "--output", "report.html"),
]
"""Commands of a user, run with `--from-s3` where they have it."""


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An AWS account with enforced IAM."""
    with iam.account(tmp_path_factory.mktemp("moto")) as account:
        yield account


@pytest.fixture
def bucket(tmp_path: Path, account: Account) -> str:
    """A bucket of the test, created by an administrator."""
    name = f"b-{sha256(bytes(tmp_path)).hexdigest()[:32]}"
    account.client().create_bucket(Bucket=name)
    return name


@pytest.fixture
def machines(tmp_path: Path, account: Account, bucket: str) -> Iterator[Machines]:
    """Machines without permissions, until they get credentials."""
    with machines_in(tmp_path, account.server.endpoint, bucket, keys=account.admin) as machines:
        machines.override_constant(
            "spawn.runner.transfers.publisher.PERMANENT_ERROR_PAUSES", [0.1, 0.4]
        )
        yield machines


def _but(policy: list[Statement], sid: str) -> list[Statement]:
    left = [each for each in policy if each["Sid"] != sid]
    assert len(left) == len(policy) - 1
    return left


def _instance(account: Account, bucket: str, *more: str, but: str = "") -> dict[str, str]:
    """Return the credentials of an instance with the documented policy, plus `more` statements,
    minus one."""
    policy = iam.statements("The instance", bucket)
    wanted = [each for each in iam.more("The instance", bucket) if each["Sid"] in more]
    assert len(wanted) == len(more)
    policy = [*policy, *wanted]
    return account.role(f"{bucket}-instance", _but(policy, but) if but else policy)


def _person(account: Account, bucket: str, *, but: str = "") -> dict[str, str]:
    """Return the credentials of a user with the documented policy, minus one statement."""
    policy = iam.statements("The person", bucket)
    return account.user(f"{bucket}-person", _but(policy, but) if but else policy)


def _small(world: World) -> Queue:
    return world.queue(
        job("make", "head -c 9437184 /dev/urandom > large; echo 1 > x", result_files=["x", "large"])
    )


def _refused(done: Finished) -> None:
    """Check that the error names what is denied and the page with the permissions."""
    assert done.code == 1, (done.out, done.err)
    assert done.err.startswith("Error: ")
    assert HINT in done.err
    assert "Traceback" not in done.err


OPTIONAL = ("AbortUploads", "DescribeOwner", "UseKey")


# the whole life of a queue


@pytest.mark.parametrize(
    "more", gate_all_but_first([(), ("AbortUploads", "DescribeOwner", "UseKey")])
)
def test_the_documented_permissions_suffice_for_the_whole_life_of_a_queue(
    machines: Machines, account: Account, bucket: str, more: tuple[str, ...]
) -> None:
    a, b, mine = machines.machine("a"), machines.machine("b"), machines.machine("mine")
    rights = _instance(account, bucket, *more)
    a.environ |= rights
    b.environ |= rights
    here = a.queue(
        job(
            "preprocess",
            "mkdir data; head -c 9437184 /dev/urandom > data/large; seq 5 > data/clean.csv",
            result_files=["data"],
        ),
        job("flaky", "echo try $JOB_ATTEMPT; [ $JOB_ATTEMPT = 2 ]", retry=retry(2)),
        job(
            "train",
            f"{until('go')}; cat data/clean.csv > model; wc -c < data/large >> model",
            *("preprocess", "flaky"),
            result_files=["model"],
        ),
        kill_grace="1s",
    )
    here.detach()
    here.wait_executing("train")
    here.stop()
    assert a.spawn("resume", "q", "--detach").code == 0
    here.wait_executing("train", 2)
    here.until(lambda: len(machines.remote().events()) == len(here.events()), "all is there")
    os.kill(here.runner(), signal.SIGKILL)
    machines.lose(a)
    shutil.rmtree(a.work / "data")
    there = machines.queue_on(b, here)
    b.release("go")
    done = b.spawn("resume", "q", "--from-s3", "--force")
    assert done.code == 0, done.err
    assert (b.work / "model").read_text() == "1\n2\n3\n4\n5\n9437184\n"
    made = ["JobStarted", "JobCompleted", "ResultsUploaded"]
    assert there.types("preprocess") == [*made, "ResultsPutBack"]
    check_replica(there, machines.remote())
    refused = {(each.method, each.key) for each in machines.proxy.asked if each.status == 403}
    if more:
        assert not refused, "no other permission is used"
    assert all(key == "" or method == "DELETE" for method, key in refused), "only for cleanup"

    asked = len(machines.proxy.asked)
    mine.environ |= _person(account, bucket)
    for command in _reads(mine):
        read = mine.spawn(*command, "--bucket", bucket, "--from-s3")
        assert read.code == 0, (command, read.err)
    del b.environ["AWS_SESSION_TOKEN"]
    b.environ |= {name: mine.environ[name] for name in CREDENTIALS}
    fetched = b.spawn("results", "q", "--output", "mine")
    assert fetched.code == 0, fetched.err
    assert (b.folder / "mine/train/results/model").read_bytes() == (b.work / "model").read_bytes()
    since = machines.proxy.asked[asked:]
    assert {each.method for each in since} <= {"GET", "HEAD"}
    assert not [each for each in since if each.status == 403]


def _reads(world: World) -> list[tuple[str, ...]]:
    """Return the commands that read a queue from S3."""
    found = [each for each in READS if "--from-s3" in world.spawn(each[0], "--help").out]
    assert ("verify", "q") in found
    return found


# the purpose of each statement


@pytest.mark.parametrize("sid", CORE)
def test_an_instance_needs_every_statement(
    machines: Machines, account: Account, bucket: str, sid: str
) -> None:
    a = machines.machine()
    a.environ |= _instance(account, bucket, but=sid)
    queue = _small(a)
    done = queue.run()
    _refused(done)
    no_list = "denied access: it belongs to another account, or you lack the permissions"
    assert (no_list if sid == "ListBucket" else "denied access: AccessDenied") in done.err
    assert queue.executed() == [], "no job starts"


@pytest.mark.parametrize("sid", ["ReadLogAndResults", "ListBucket"])
def test_a_user_needs_every_statement(
    machines: Machines, account: Account, bucket: str, sid: str
) -> None:
    a, mine = machines.machine("a"), machines.machine("mine")
    a.environ |= _instance(account, bucket)
    assert _small(a).run().code == 0
    mine.environ |= _person(account, bucket, but=sid)
    _refused(mine.spawn("verify", "q", "--from-s3"))


def test_a_user_can_change_nothing(machines: Machines, account: Account, bucket: str) -> None:
    a, mine = machines.machine("a"), machines.machine("mine")
    a.environ |= _instance(account, bucket)
    queue = a.queue(job("make", "exit 3"))
    assert queue.run().code == 1
    before = _all(machines)
    mine.environ |= _person(account, bucket)
    there = Queue(mine, "q", queue.config)
    mine.start("resume", "q", "--from-s3", "--retry-failed", "--force")
    there.until(lambda: HINT in there.describe(), "it says what is needed")
    assert "no job starts until it can" in there.describe()
    machines.kill(mine)
    assert queue.executed(mine.execution_lines()) == []
    _refused(Queue(mine, "other", queue.config).run())
    client = account.client("s3", mine.environ)
    for ask in (
        lambda: client.put_object(Bucket=bucket, Key="q/_spawn/lease.json", Body=b""),
        lambda: client.create_multipart_upload(Bucket=bucket, Key="q/x"),
        lambda: client.delete_object(Bucket=bucket, Key="q/_spawn/lease.json"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            ask()
    assert _all(machines) == before


def _all(machines: Machines) -> dict[str, bytes]:
    remote = machines.remote()
    found = remote.keys()
    return {key: remote.read(key) for key in found}


def test_an_instance_can_delete_nothing(account: Account, bucket: str) -> None:
    every = [each["Sid"] for each in iam.more("The instance", bucket)]
    client = account.client("s3", _instance(account, bucket, *every))
    client.put_object(Bucket=bucket, Key="q/_spawn/log/000000000001.jsonl", Body=b"")
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket, Key="q/_spawn/log/000000000001.jsonl")
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_bucket(Bucket=bucket)


def test_results_denied_on_upload_are_named_and_uploaded_later(
    machines: Machines, account: Account, bucket: str
) -> None:
    a = machines.machine()
    core = iam.statements("The instance", bucket)
    (write,) = [each for each in core if each["Sid"] == "WriteLogAndResults"]
    write["Resource"] = f"arn:aws:s3:::{bucket}/q/_spawn/*"
    a.environ |= account.role(f"{bucket}-log", core)
    queue = _small(a)
    done = queue.run()
    assert done.code == 1
    assert "results of make not saved" in done.out
    assert "AccessDenied" in queue.data("make", "ResultsUploadFailed").error
    assert "AccessDenied" in a.spawn("status", "q").out
    a.environ |= _instance(account, bucket)
    again = a.spawn("resume", "q")
    assert again.code == 0, again.err
    assert queue.executed() == [("make", 1)]


@pytest.mark.parametrize("may", [True, False])
def test_unfinished_multipart_uploads_are_aborted_if_allowed(
    machines: Machines, account: Account, bucket: str, may: bool
) -> None:
    a = machines.machine()
    a.environ |= _instance(account, bucket, *(["AbortUploads"] if may else []))
    left = "q/make/attempts/1.1/results/large"
    account.client().create_multipart_upload(Bucket=bucket, Key=left)
    done = _small(a).run()
    assert done.code == 0, done.err
    assert machines.remote().uploads() == ([] if may else [left])


@pytest.mark.parametrize("may", [True, False])
def test_a_missing_bucket_is_created_if_allowed(
    machines: Machines, account: Account, may: bool
) -> None:
    a = machines.machine()
    missing = f"{machines.bucket}-x"
    a.environ |= _instance(account, missing, *(["CreateBucket"] if may else []))
    queue = _small(a)
    done = queue.run("--bucket", missing)
    if may:
        assert done.code == 0, done.err
        assert f"Created bucket {missing}" in queue.describe()
        assert f"Created bucket {missing}" in done.err
        account.client().get_bucket_encryption(Bucket=missing)
    else:
        _refused(done)
        assert "denied access: AccessDenied" in done.err
        assert queue.executed() == []


@pytest.mark.parametrize("may", [True, False])
def test_ec2_is_queried_about_an_owner_if_allowed(
    machines: Machines, account: Account, bucket: str, may: bool
) -> None:
    ec2 = account.client("ec2")
    made = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)
    instance_id = made["Instances"][0]["InstanceId"]
    document = {"instanceId": instance_id, "region": "us-east-1"}
    a, b = machines.machine("a"), machines.machine("b")
    rights = _instance(account, bucket, *(["DescribeOwner"] if may else []))
    for each in (a, b):
        each.environ |= rights
    with metadata(json.dumps(document).encode()) as imds:
        a.environ |= {ENDPOINT: imds.endpoint, "AWS_EC2_METADATA_DISABLED": "false"}
        here = a.queue(job("first", until("go")))
        here.detach()
        here.wait_executing("first")
        here.until(lambda: len(machines.remote().events()) == len(here.events()), "all is there")
    machines.lose(a)
    ec2.terminate_instances(InstanceIds=[instance_id])
    b.release("go")
    done = b.spawn("resume", "q", "--from-s3", "--region", "us-east-1")
    if may:
        machines.queue_on(b, here)
        assert done.code == 0, done.err
    else:
        assert done.code == 1
        assert f"queue q is owned by {instance_id}" in done.err
        assert "--force" in done.err


@pytest.mark.parametrize("may", [True, False])
def test_an_instance_is_looked_up_if_allowed(
    account: Account, bucket: str, monkeypatch: pytest.MonkeyPatch, may: bool
) -> None:
    ec2 = account.client("ec2")
    made = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)
    instance_id = made["Instances"][0]["InstanceId"]
    policy = iam.statements("The person", bucket)
    if may:
        policy += [each for each in iam.more("The person", bucket) if each["Sid"] == FIND]
    for name, value in account.user(f"{bucket}-finder", policy).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", account.server.endpoint)
    if may:
        assert ec2_instances.describe(instance_id, None, None) is not None
        assert ec2_instances.console_output(instance_id, None, None)
        assert (
            ec2_instances.find_region(instance_id, "eu-west-1", None, seconds=120).region
            == "us-east-1"
        )
        assert list_instances("Name", None, None).region == "us-east-1"
        return
    for ask in (
        ec2_instances.describe,
        ec2_instances.console_output,
        ec2_instances.find_region,
        list_instances,
    ):
        with pytest.raises(AccessDenied) as found:
            ask(instance_id, None, None)
        assert HINT in found.value.hint


def test_permission_to_show_an_instance_does_not_include_termination(
    account: Account, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ec2 = account.client("ec2")
    made = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)
    instance_id = made["Instances"][0]["InstanceId"]
    account.client("iam").create_instance_profile(InstanceProfileName=bucket)
    more = {each["Sid"]: each for each in iam.more("The person", bucket)}
    policy = [more[FIND], more["ShowInstance"]]
    for name, value in account.user(f"{bucket}-shower", policy).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", account.server.endpoint)
    assert instance_roles(f"arn:aws:iam::123456789012:instance-profile/{bucket}", None, None) == ()
    with pytest.raises(AccessDenied) as found:
        terminate_instance(instance_id, "us-east-1", None)
    assert HINT in found.value.hint
    assert more["TerminateTaggedInstances"]["Action"] == "ec2:TerminateInstances"
    assert "spawn:queue-id" in json.dumps(more["TerminateTaggedInstances"]["Condition"])


# the documentation page


@pytest.mark.parametrize("launched", [False, True])
def test_no_object_of_log_or_results_is_overwritten(
    machines: Machines, account: Account, bucket: str, launched: bool
) -> None:
    """Check what the policy `DenyOverwrites` demands, as moto ignores bucket policies. The
    `queue.json` of a launched queue exists already, and is replaced."""
    a = machines.machine()
    if launched:
        config = {"queue_id": "q", "jobs": [{"job_id": "a", "command": "true"}], "claimed_by": ""}
        data = json.dumps(config).encode()
        account.client().put_object(Bucket=bucket, Key="q/_spawn/queue.json", Body=data)
    with answering(lambda asked: forward(account.server, asked)) as front:
        a.environ |= {**_instance(account, bucket), "AWS_ENDPOINT_URL": front.endpoint}
        queue = _small(a)
        assert queue.run().code == 0
    writes = [each for each in front.asked if each.method in ("PUT", "POST")]
    assert len(writes) > 8
    (_, statement, _) = iam.blocks("The bucket")
    patterns = [each.removeprefix("arn:aws:s3:::my-bucket") for each in statement["Resource"]]
    for each in writes:
        creates = "partNumber" not in each.query and each.query != "uploads"
        key = each.path.removeprefix(f"/{bucket}")
        meant = any(fnmatch(key, pattern) for pattern in patterns)
        assert meant == (key not in ("/q/_spawn/lease.json", "/q/_spawn/queue.json")), key
        if creates and meant:
            assert each.headers.get("if-none-match") == "*", each.path
    named = [each for each in writes if each.path.endswith("/queue.json")]
    assert any("if-match" in each.headers for each in named) == launched


def test_no_documented_policy_allows_deletion_in_s3_or_wildcard_actions() -> None:
    headings = ("The instance", "The person")
    found = [each for heading in headings for each in iam.statements(heading, "b")]
    found += [each for heading in headings for each in iam.more(heading, "b")]
    assert [each["Sid"] for each in found][:3] == CORE
    for each in found:
        actions = each["Action"] if isinstance(each["Action"], list) else [each["Action"]]
        assert each["Effect"] == "Allow"
        deletes = [name for name in actions if "*" in name or "Delete" in name]
        assert deletes == (["ssm:DeleteParameter"] if each["Sid"] == FORGET else [])


def test_a_bucket_accepts_the_documented_settings(account: Account, bucket: str) -> None:
    policy, more, rules = iam.blocks("The bucket")
    client = account.client()
    policy["Statement"].append(more)
    document = json.dumps(policy).replace(iam.DOCUMENTED_BUCKET, bucket)
    client.put_bucket_policy(Bucket=bucket, Policy=document)
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rules)
    (rule,) = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
