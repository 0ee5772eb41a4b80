"""`spawn list`: instances as a table, as JSON, and as ids."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest
from tests.around.conftest import Spawn, become
from tests.support.answers import Answer, RecordedRequest, answering
from tests.support.ec2 import launched, refusal
from tests.support.s3 import Server, free_port

from spawn.cli.output.instance_list import table
from spawn.cli.output.style import PLAIN
from spawn.store.aws.ec2_instances import InstanceDescription

NOW = datetime(2026, 1, 27, 14, 5, 32, tzinfo=UTC)


EMPTY = Answer(body=b"<R><reservationSet></reservationSet></R>")


def test_only_instances_with_a_queue_tag_are_listed(aws: Server, spawn: Spawn) -> None:
    ours = launched(aws, "nightly")
    other = launched(aws, None)
    done = spawn("list", "--format", "json")
    assert (done.code, done.err) == (0, "")
    assert other not in done.out  # other tests may have launched instances
    (found,) = [each for each in json.loads(done.out) if each["instance_id"] == ours]
    assert (found["state"], found["instance_type"], found["region"], found["queue_id"]) == (
        "running",
        "m7i.large",
        "us-east-1",
        "nightly",
    )
    assert found["results_location"] == "s3://nobodys/nightly/"
    assert found["public_address"]
    assert datetime.fromisoformat(found["launched_at"]).tzinfo is not None
    assert found["tags"] == {
        "Name": "pipeline",
        "spawn:queue-id": "nightly",
        "spawn:results-location": "s3://nobodys/nightly/",
    }
    assert ours in spawn("list", "-q").out.splitlines()
    shown = spawn("list")
    assert shown.err == "Instances in us-east-1:\n"
    (row,) = [line for line in shown.out.splitlines() if line.startswith(ours)]
    assert row.split()[1:4] == ["pipeline", "m7i.large", "running"]


@pytest.mark.tool("jq")
def test_the_documented_jq_filter_finds_the_tags(aws: Server, spawn: Spawn) -> None:
    ours = launched(aws, "nightly")
    launched(aws, "another")
    done = subprocess.run(
        ["jq", f'.[] | select(.instance_id == "{ours}") | .tags'],
        input=spawn("list", "--format", "json").out,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["spawn:queue-id"] == "nightly"


def test_terminated_instances_are_shown_on_request(aws: Server, spawn: Spawn) -> None:
    gone, stopped = (launched(aws, name) for name in ("gone", "stopped"))
    client = aws.client("ec2")
    client.terminate_instances(InstanceIds=[gone])
    client.stop_instances(InstanceIds=[stopped])
    live = spawn("list", "--quiet").out.split()
    assert stopped in live
    assert gone not in live
    assert {gone, stopped} <= set(spawn("list", "--quiet", "--all").out.split())


def test_without_instances_stdout_is_empty_and_stderr_has_a_hint(
    spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(lambda _: EMPTY) as server:
        become(server.server, monkeypatch)
        for flags in ([], ["-q"]):
            done = spawn("list", *flags)
            assert (done.code, done.out) == (0, "")
            assert "in us-east-1: `spawn launch` starts one; --region selects another" in done.err
        assert spawn("list", "--format", "json").out == "[]\n"
        assert "in sa-east-1:" in spawn("list", "--region", "sa-east-1").err
        monkeypatch.setenv("AWS_REGION", "eu-west-3")
        assert "in eu-west-3:" in spawn("list").err


@pytest.mark.parametrize("pages", [1, 3])
def test_results_of_several_pages_are_sorted_newest_first(
    pages: int, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = [5, 23, 0, 11, 7, 19]

    def answer(asked: RecordedRequest) -> Answer:
        token = int(parse_qs(asked.body.decode()).get("NextToken", ["0"])[0])
        each = len(hours) // pages
        some = hours[token * each : (token + 1) * each]
        more = f"<nextToken>{token + 1}</nextToken>" if token + 1 < pages else ""
        items = "".join(
            f"<item><instancesSet><item><instanceId>i-{hour:08}</instanceId>"
            f"<launchTime>2026-01-27T{hour:02}:00:00.000Z</launchTime></item></instancesSet></item>"
            for hour in some
        )
        body = f"<R><reservationSet>{items}</reservationSet>{more}</R>"
        return Answer(body=body.encode())

    with answering(answer) as server:
        become(server.server, monkeypatch)
        done = spawn("list", "-q")
        assert len(server.asked) == pages
    assert (done.code, done.err) == (0, "")
    assert done.out.split() == [f"i-{hour:08}" for hour in sorted(hours, reverse=True)]


def test_an_ec2_failure_is_reported(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = [
        (403, "UnauthorizedOperation", "EC2 denied access", "docs/iam-policies.md"),
        (400, "ExpiredToken", "EC2 denied access: credentials have expired", "aws sso login"),
        (503, "RequestLimitExceeded", "EC2 cannot be reached: RequestLimitExceeded", ""),
    ]
    for status, code, said, hint in refusals:
        with answering(lambda _, status=status, code=code: refusal(status, code)) as server:
            become(server.server, monkeypatch)
            done = spawn("list")
        assert (done.code, done.out) == (1, "")
        assert said in done.err
        assert hint in done.err
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    assert "EC2 cannot be reached" in spawn("list").err
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    done = spawn("list")
    assert done.code == 1
    assert "You must specify a region" in done.err
    assert "a region with --region" in done.err


def test_an_unknown_format_is_a_bad_argument(spawn: Spawn) -> None:
    done = spawn("list", "--format", "yaml")
    assert done.code == 2
    assert "'table', 'json'" in done.err


# the table

INSTANCES = [
    InstanceDescription(
        instance_id="i-0123456789abcdef0",
        region="us-east-1",
        state="running",
        type="m7i.large",
        public="198.51.100.7",
        launched_at=NOW - timedelta(hours=6, minutes=12),
        tags={"spawn:queue-id": "queue-20260127-140532", "Name": "nightly-of-the-vision-team"},
    ),
    InstanceDescription(
        instance_id="i-0fedcba9876543210",
        region="us-east-1",
        state="shutting-down",
        type="g5.12xlarge",
        tags={"spawn:queue-id": "\x1b[31mred"},
    ),
]


def test_the_table_has_aligned_columns() -> None:
    assert list(table(INSTANCES, NOW, PLAIN, None)) == [
        "INSTANCE             NAME                        TYPE         STATE          AGE     "
        "QUEUE                  ADDRESS",
        "i-0123456789abcdef0  nightly-of-the-vision-team  m7i.large    running        6h 12m  "
        "queue-20260127-140532  198.51.100.7",
        "i-0fedcba9876543210  -                           g5.12xlarge  shutting-down  -       "
        "red                    -",
    ]


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 40])
def test_the_table_fits_the_terminal_without_cutting_ids_or_states(width: int) -> None:
    lines = list(table(INSTANCES, NOW, PLAIN, width))
    assert all(len(line) <= width for line in lines)
    for each, line in zip(INSTANCES, lines[1:], strict=True):
        assert line.startswith(each.instance_id)
        assert each.state in line


def test_a_narrow_terminal_shows_queues_and_drops_addresses() -> None:
    title, line, _ = table(INSTANCES, NOW, PLAIN, 70)
    assert title.split() == ["INSTANCE", "TYPE", "STATE", "AGE", "QUEUE"]
    assert "queue-20" in line
    assert "198" not in line
    title, line, _ = table(INSTANCES, NOW, PLAIN, 64)
    assert title.split() == ["INSTANCE", "TYPE", "STATE", "QUEUE"]
    assert line.endswith("queue-20260127…"), "the room that the age has left is the queue's"


def test_names_are_cut_before_queue_ids() -> None:
    line = list(table(INSTANCES, NOW, PLAIN, 105))[1]
    assert "…" in line
    assert "queue-20260127-140532" in line
