"""Decisions of a launch that need no request."""

from pathlib import Path

import pytest
import typer.main

from spawn.cli.app import app
from spawn.core.errors import InvalidArgument
from spawn.store.aws import iam_policies, instance_request, resource_names, tags
from spawn.store.aws.boot import environment_file


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"novalue\n", "line 1 is not NAME=VALUE"),
        (b"# fine\n2A=hunter2\n", "line 2"),
        (b'A="hunter2\n', "line 1 has an unclosed quote"),
        (b"\xffA=hunter2", "not UTF-8"),
        (b"# nothing\n\n", "sets no variable"),
        (b"A=" + b"hunter2" * 700, "too large"),
    ],
)
def test_an_invalid_environment_is_reported_without_its_values(data: bytes, why: str) -> None:
    with pytest.raises(InvalidArgument) as found:
        environment_file.check_environment(data, "jobs.env")
    said = f"{found.value} {found.value.hint}"
    assert why in said
    assert "jobs.env" in said
    assert "hunter2" not in said


def test_an_environment_is_passed_on_unchanged() -> None:
    text = "# why\nA=1\nB='two words'\n"
    assert environment_file.check_environment(text.encode(), "jobs.env") == text


@pytest.mark.parametrize(
    "texts",
    [
        ["x"],
        ["=x"],
        ["aws:a=b"],
        ["AWS:a=b"],
        ["spawn:queue-id=q"],
        ["Name=n"],
        ["a=1", "a=2"],
        ["a" * 129 + "=x"],
        ["a=" + "x" * 257],
        ["a=\n"],
        [f"k{n}=v" for n in range(46)],
    ],
)
def test_an_invalid_tag_is_rejected(texts: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        tags.parse_tags(texts)


def test_a_tags_value_may_contain_an_equals_sign_or_be_empty() -> None:
    assert tags.parse_tags(["a=b=c", "d="]) == {"a": "b=c", "d": ""}


@pytest.mark.parametrize(
    ("text", "network"),
    [("203.0.113.7", "203.0.113.7/32"), ("2001:db8::1", "2001:db8::1/128")],
)
def test_a_single_address_is_a_network_of_one(text: str, network: str) -> None:
    assert instance_request.parse_network(text) == network


@pytest.mark.parametrize("text", ["::/0", "0.0.0.0/0", "", "203.0.113.7/24"])
def test_the_whole_internet_and_invalid_networks_are_rejected(text: str) -> None:
    with pytest.raises(InvalidArgument):
        instance_request.parse_network(text)


def test_names_distinguish_regions_buckets_and_queues_with_secrets() -> None:
    made = {
        resource_names.role_name(region, bucket, queue_id=queue_id)
        for region in ("us-east-1", "eu-central-1")
        for bucket in ("a", "b")
        for queue_id in (None, "q", "r")
    }
    assert len(made) == 12
    assert all(len(name) <= 64 for name in made)
    assert resource_names.role_name("us-east-1", "a") == resource_names.role_name("us-east-1", "a")


def test_a_role_may_read_one_environment_and_write_one_bucket() -> None:
    parameter = "arn:aws:ssm:us-east-1:1:parameter/spawn-queue/q/l/env"
    statements = iam_policies.instance_policy("b", environment=parameter)["Statement"]
    resources = {each["Sid"]: each["Resource"] for each in statements}
    assert resources["ReadTheEnvironment"] == parameter
    assert resources["WriteLogAndResults"] == "arn:aws:s3:::b/*"
    assert not [each for each in statements if "*" in each["Action"]]
    assert "ReadTheEnvironment" not in str(iam_policies.instance_policy("b"))


def test_the_page_has_every_flag() -> None:
    root = typer.main.get_command(app)
    command = root.commands["launch"]  # type: ignore[attr-defined]
    page = (Path(__file__).parents[2] / "docs" / "commands" / "launch.md").read_text()
    flags = [flag for each in command.params for flag in each.opts if flag.startswith("--")]
    assert len(flags) > 20
    assert [flag for flag in flags if f"`{flag}" not in page] == []
