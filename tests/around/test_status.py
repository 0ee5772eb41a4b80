"""`spawn status` of an instance that cannot be reached itself."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from tests.around.conftest import Spawn, become
from tests.support.answers import Answer, RecordedRequest, answering, error, forward
from tests.support.ec2 import IMAGE, launched, refusal
from tests.support.instances import make_bucket
from tests.support.s3 import Server

PRICE = {
    "terms": {
        "OnDemand": {
            "S.T": {"priceDimensions": {"S.T.D": {"unit": "Hrs", "pricePerUnit": {"USD": "3600"}}}}
        }
    }
}


def role(aws: Server) -> str:
    """Create a role and an instance profile; returns their common name."""
    name = f"spawn-{uuid4().hex[:8]}"
    iam = aws.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name


def line(text: str, title: str) -> str:
    (found,) = [each for each in text.splitlines() if each.startswith(f"{title}: ")]
    return found.removeprefix(f"{title}: ")


def test_status_shows_role_and_tags(aws: Server, spawn: Spawn) -> None:
    name = role(aws)
    ours = launched(aws, IamInstanceProfile={"Name": name}, KeyName="mine")
    done = spawn("status", ours)
    assert (done.code, done.err) == (0, "")
    titles = [each.partition(":")[0] for each in done.out.splitlines()]
    assert titles[:11] == [
        "Instance", "State", "Type", "Region", "Launched", "Address", "IAM", "Key", "Queue",
        "Results Location", "Cost so far",
    ]  # fmt: skip
    assert line(done.out, "IAM") == f"role {name} (profile {name})"
    assert line(done.out, "Type") == "m7i.large, on-demand"
    assert line(done.out, "Key") == "mine"
    assert "  spawn:queue-id: q\n" in done.out
    assert "q, status unknown: there is no bucket nobodys" in line(done.out, "Queue")


def test_a_missing_profile_is_explained(aws: Server, spawn: Spawn) -> None:
    assert line(spawn("status", launched(aws)).out, "IAM") == "none: results cannot be uploaded"


def test_denied_requests_are_reported_and_the_rest_is_shown(
    aws: Server, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = role(aws)
    ours = launched(aws, IamInstanceProfile={"Name": name})

    def answer(asked: RecordedRequest) -> Answer:
        of_iam = b"Action=GetInstanceProfile" in asked.body
        if of_iam or "x-amz-target" in asked.headers:
            return error(403, "AccessDenied")
        return forward(aws, asked)

    with answering(answer) as server:
        become(server.server, monkeypatch)
        done = spawn("status", ours)
    assert (done.code, done.err) == (0, "")
    assert line(done.out, "IAM").startswith(f"profile {name}; role unknown: IAM denied access")
    cost = line(done.out, "Cost so far")
    assert "; its on-demand price is not available: AWS's price list denied access" in cost


def test_the_cost_is_estimated_from_the_price_list(
    aws: Server, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = launched(aws)

    def answer(asked: RecordedRequest) -> Answer:
        if asked.headers.get("x-amz-target") != "AWSPriceListService.GetProducts":
            return forward(aws, asked)
        wanted = {each["Field"]: each["Value"] for each in json.loads(asked.body)["Filters"]}
        assert (wanted["instanceType"], wanted["regionCode"]) == ("m7i.large", "us-east-1")
        return Answer(body=json.dumps({"PriceList": [json.dumps(PRICE)]}).encode())

    with answering(answer) as server:
        become(server.server, monkeypatch)
        found = json.loads(spawn("status", ours, "--json").out)["cost"]
        text = line(spawn("status", ours).out, "Cost so far")
    seconds = sum(
        int(each[:-1]) * {"s": 1, "m": 60}[each[-1]]
        for each in found["running"].replace("m", "m ").split()
    )
    assert found["usd"] == pytest.approx(seconds, abs=1)
    assert (found["usd_per_hour"], found["basis"], found["why"]) == (3600, "on-demand", None)
    assert "at $3600.0000 per hour, on-demand; without volumes, traffic and S3)" in text


def test_the_spot_price_comes_from_ec2(aws: Server, spawn: Spawn) -> None:
    client = aws.client("ec2")
    wanted = {"ImageId": IMAGE, "InstanceType": "m7i.large"}
    asked = client.request_spot_instances(LaunchSpecification=wanted, SpotPrice="1")
    (request,) = asked["SpotInstanceRequests"]
    found = client.describe_spot_instance_requests(
        SpotInstanceRequestIds=[request["SpotInstanceRequestId"]]
    )
    ours = found["SpotInstanceRequests"][0]["InstanceId"]
    shown = json.loads(spawn("status", ours, "--json").out)
    assert shown["market"] == "spot"
    assert (shown["cost"]["basis"], shown["cost"]["usd_per_hour"]) == ("spot", 0.00001)


def test_a_terminated_instance_is_shown_and_its_cost_stops(aws: Server, spawn: Spawn) -> None:
    ours = launched(aws)
    aws.client("ec2").terminate_instances(InstanceIds=[ours])
    done = spawn("status", ours)
    assert done.code == 0
    assert line(done.out, "State").startswith("terminated (Client.UserInitiatedShutdown")
    assert line(done.out, "IAM") == "none"
    assert line(done.out, "Ended")


def test_a_submitted_queue_is_shown_from_s3(aws: Server, spawn: Spawn, tmp_path: Path) -> None:
    bucket = make_bucket(aws)
    config = {"queue_id": "q", "jobs": [{"job_id": "a", "command": "true"}]}
    key = "somewhere/_spawn/queue.json"
    (tmp_path / "q.json").write_text(json.dumps(config))
    assert (
        spawn(
            "queue", "run", str(tmp_path / "q.json"), "--bucket", bucket, "--prefix", "somewhere"
        ).code
        == 0
    )
    assert aws.client("s3").head_object(Bucket=bucket, Key=key)
    ours = launched(aws)
    location = f"s3://{bucket}/somewhere/"
    aws.client("ec2").create_tags(
        Resources=[ours], Tags=[{"Key": "spawn:results-location", "Value": location}]
    )
    done = spawn("status", ours)
    assert line(done.out, "Queue").startswith("q, completed (from its log in S3; ")
    assert line(done.out, "Results Location") == location


def test_an_instance_in_another_region_is_reported_with_its_region(
    spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = "i-0123456789abcdef0"
    found = f"<reservationSet><item><instancesSet><item><instanceId>{ours}</instanceId>"
    found += "</item></instancesSet></item></reservationSet>"
    regions = ("us-east-1", "eu-west-1")
    named = "".join(f"<item><regionName>{each}</regionName></item>" for each in regions)

    def answer(asked: RecordedRequest) -> Answer:
        if b"Action=DescribeRegions" in asked.body:
            return Answer(body=f"<R><regionInfo>{named}</regionInfo></R>".encode())
        if "/eu-west-1/ec2/" in asked.headers["authorization"]:
            return Answer(body=f"<R>{found}</R>".encode())
        return refusal(400, "InvalidInstanceID.NotFound")

    with answering(answer) as server:
        become(server.server, monkeypatch)
        done = spawn("status", ours)
        assert (done.code, done.out) == (1, "")
        assert "it is in eu-west-1" in done.err
        assert "--region eu-west-1" in done.err
        regions = regions[:1]
        named = f"<item><regionName>{regions[0]}</regionName></item>"
        done = spawn("status", ours)
    assert (done.code, done.out) == (1, "")
    assert f"EC2 has no instance {ours}" in done.err


@pytest.mark.parametrize("command", ["status", "connect", "terminate"])
def test_an_invalid_instance_id_is_a_bad_argument(spawn: Spawn, command: str) -> None:
    done = spawn(command, "queue-20260127-140532")
    assert done.code == 2
    assert "is not an instance id" in done.err
    assert spawn(command).code == 2
