"""Launches with the permissions of `docs/iam-policies.md`, and with each action removed in turn.

moto evaluates no conditions, and only S3 resources: the tests leave both out.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.launch.conftest import NOTHING, Finished, Front, Person, capacity
from tests.support import iam
from tests.support.iam import Account, Statement

from spawn.store.aws import iam_policies, resource_names
from spawn.store.aws.resource_names import GROUP

PAGE = "The launcher"
MAKE = (
    *("CreateKeyPair", "CreateSecurityGroup", "OpenSecurityGroup", "CreateRole"),
    "StoreEnvironment",
)
UNASKED = {
    *("ec2:CreateTags", "iam:PassRole", "iam:TagRole", "iam:TagInstanceProfile"),
    "ssm:AddTagsToResource",
}
"""Actions for which moto checks no permission."""
TAKES_BACK = {"s3:DeleteObject", "ec2:TerminateInstances", "ssm:DeleteParameter"}
"""Actions that a failed launch needs for its cleanup."""
LATER = {
    *("ec2:DescribeInstances", "ec2:DescribeSubnets", "iam:GetRolePolicy", "s3:GetObject"),
}
"""Actions used only for existing resources, or with an option."""
RULES = {"s3:PutBucketPublicAccessBlock", "s3:PutEncryptionConfiguration"}


def _documented(bucket: str) -> list[Statement]:
    found = iam.statements(PAGE, bucket)
    found += [each for each in iam.more(PAGE, bucket) if each["Sid"] in MAKE]
    found += [each for each in iam.more("The instance", bucket) if each["Sid"] == "CreateBucket"]
    return found


def _actions() -> list[str]:
    found = {action for each in _documented("b") for action in _listed(each["Action"])}
    return sorted(found - UNASKED - TAKES_BACK - LATER - RULES)


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _but(statements: list[Statement], action: str) -> list[Statement]:
    """Return the statements in the form that moto understands, without one action."""
    found = []
    for each in statements:
        left = [name for name in _listed(each["Action"]) if name != action]
        s3 = left and left[0].startswith("s3:")
        plain: dict[str, Any] = {**each, "Action": left}
        plain.pop("Condition", None)
        if not s3:
            plain["Resource"] = "*"
        if left:
            found.append(plain)
    return found


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An AWS account with enforced IAM."""
    with iam.account(tmp_path_factory.mktemp("moto")) as account:
        yield account


class Launcher:
    """A user with the documented permissions, minus one action."""

    def __init__(self, person: Person, account: Account, patch: pytest.MonkeyPatch) -> None:
        self.person = person
        self._account = account
        self._patch = patch
        self.bucket = f"b-{sha256(bytes(person.folder)).hexdigest()[:32]}"
        self.env = person.folder / "secrets.env"
        self.env.write_text("TOKEN=hunter2\n")
        ec2 = account.client("ec2")
        for each in person.instances(every=True):
            ec2.terminate_instances(InstanceIds=[each["InstanceId"]])
        for group in ec2.describe_security_groups()["SecurityGroups"]:
            if group["GroupName"] == GROUP:
                ec2.delete_security_group(GroupId=group["GroupId"])

    def become(self, action: str = "") -> None:
        """Get all permissions but one."""
        rights = _but(_documented(self.bucket), action)
        for name, value in self._account.user(f"{self.bucket}-{action}", rights).items():
            self._patch.setenv(name, value)

    def launch(self, *flags: str) -> Finished:
        """Launch with all resources that can be created."""
        return self.person.launch("--bucket", self.bucket, "--env-file", str(self.env), *flags)


@pytest.fixture
def launcher(person: Person, account: Account, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """A user without permissions yet."""
    person.look = account.client
    monkeypatch.setenv("AWS_ENDPOINT_URL", account.server.endpoint)
    return Launcher(person, account, monkeypatch)


def test_the_documented_permissions_suffice(launcher: Launcher) -> None:
    launcher.become()
    done = launcher.launch()
    assert done.code == 0, done.err
    assert len(launcher.person.instances()) == 1
    assert len(launcher.person.parameters()) == 1


@pytest.mark.parametrize("action", _actions())
def test_a_missing_permission_is_named_and_leaves_nothing_that_costs_money(
    launcher: Launcher, action: str
) -> None:
    launcher.become(action)
    done = launcher.launch()
    assert (done.code, done.out) == (1, ""), done
    assert done.err.count("Error: ") == 1
    assert action in done.err, done.err
    assert "docs/iam-policies.md" in done.err
    assert "Traceback" not in done.err
    assert "hunter2" not in done.err
    assert launcher.person.costs() == NOTHING


def test_missing_permissions_for_existing_resources_are_named(
    launcher: Launcher, account: Account, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher.become()
    front(capacity, account.server)
    assert launcher.launch().code == 1
    monkeypatch.setenv("AWS_ENDPOINT_URL", account.server.endpoint)
    (subnet, *_) = account.client("ec2").describe_subnets()["Subnets"]
    for action in sorted(LATER):
        launcher.become(action)
        done = launcher.launch("--subnet-id", subnet["SubnetId"])
        assert (done.code, done.out) == (1, ""), done
        assert action in done.err, done.err
        assert "docs/iam-policies.md" in done.err
    assert launcher.person.costs() == NOTHING


@pytest.mark.parametrize("action", ["s3:DeleteObject", "ssm:DeleteParameter"])
def test_resources_that_cannot_be_removed_are_reported_with_the_command(
    launcher: Launcher, account: Account, front: Front, action: str
) -> None:
    launcher.become(action)
    front(capacity, account.server)
    done = launcher.launch()
    assert (done.code, done.out) == (1, "")
    (warning,) = [line for line in done.err.splitlines() if line.startswith("Warning: ")]
    assert action in warning
    by_hand = {"s3:DeleteObject": "aws s3 rm --recursive", "ssm:DeleteParameter": "aws ssm delete"}
    assert by_hand[action] in warning
    left = launcher.person.costs()
    assert bool(left["sent"]) == (action == "s3:DeleteObject")
    assert bool(left["parameters"]) == (action == "ssm:DeleteParameter")
    assert left["instances"] == []


# consistency of page and code


def test_the_created_role_has_the_documented_policy() -> None:
    made = iam_policies.instance_policy(
        "my-bucket",
        environment="arn:aws:ssm:us-east-1:111122223333:parameter"
        + resource_names.parameter_name("my-queue", "LAUNCH-ID"),
    )
    documented = iam.statements("The instance", "my-bucket")
    wanted = (
        *("AbortUploads", "DescribeOwner"),
        *("ReadTheEnvironment", "DecryptTheEnvironment"),
    )
    more = {each["Sid"]: each for each in iam.more("The instance", "my-bucket")}
    assert _plain(made["Statement"]) == _plain([*documented, *(more[sid] for sid in wanted)])


def _plain(statements: list[Statement]) -> dict[str, Statement]:
    return {each["Sid"]: each for each in statements}


def test_every_action_in_the_code_is_documented() -> None:
    """`asking` gets the permission that each request needs."""
    root = Path(__file__).parents[2] / "store" / "ec2"
    code = "".join(file.read_text() for file in root.glob("*.py"))
    named = {part.split('"')[0] for part in code.split('asking("')[1:]}
    documented = {action for each in _documented("b") for action in _listed(each["Action"])}
    assert {each for each in named if ":" in each} - {"sts:GetCallerIdentity"} <= documented
