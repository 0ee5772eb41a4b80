"""The address of an instance: the remembered one, else from EC2."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event

import pytest
from tests.remote.conftest import REACH
from tests.support.answers import Answer, RecordedRequest, RecordingServer, answering
from tests.support.ec2 import IMAGE
from tests.support.queues import SECONDS
from tests.support.s3 import Server
from tests.support.sshd import INSTANCE, ME, Sshd, SshUser, keygen, sshd

from spawn.cli.ssh import lookup
from spawn.cli.ssh.errors import (
    AuthenticationFailed,
    HostKeyMismatch,
    InstanceNotRunning,
    Unreachable,
)
from spawn.cli.ssh.lookup import find_running_instance
from spawn.cli.ssh.reach import InstanceAccess, LogHints
from spawn.cli.ssh.reach import SshFlags as Flags
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.store.aws import ec2_instances
from spawn.store.objects.interface import AccessDenied, Unavailable
from spawn.store.queue_dir.paths import roots

KNOWN_AS = "spawn/cache/instances"


def described(
    host: str = "127.0.0.1", state: str = "running", *, private: str = "127.0.0.3", more: str = ""
) -> str:
    return (
        "<DescribeInstancesResponse><reservationSet><item><instancesSet><item>"
        f"<instanceId>{INSTANCE}</instanceId><instanceState><name>{state}</name></instanceState>"
        f"<ipAddress>{host}</ipAddress><privateIpAddress>{private}</privateIpAddress>"
        f"<launchTime>2026-01-27T14:00:00.000Z</launchTime>{more}"
        "</item></instancesSet></item></reservationSet></DescribeInstancesResponse>"
    )


class Ec2:
    """A fake EC2 and its next answer."""

    def __init__(self, answering: RecordingServer) -> None:
        self._answering = answering
        self.says = described()

    @property
    def asked(self) -> int:
        """Number of requests for the instance."""
        return sum(b"Action=DescribeInstances" in each.body for each in self._answering.asked)


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ec2]:
    made: list[Ec2] = []

    def answer(asked: RecordedRequest) -> Answer:
        if b"Action=DescribeInstances" in asked.body:
            return Answer(body=made[0].says.encode())
        return Answer(
            403,
            b"<Response><Errors><Error><Code>UnauthorizedOperation</Code></Error></Errors></Response>",
        )

    with answering(answer) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.endpoint)
        made.append(Ec2(found))
        yield made[0]


@pytest.fixture
def unnamed(known: Sshd, person: SshUser) -> Sshd:
    """The instance; the configuration has its port and no address."""
    person.configure(f"Host i-*\n    Port {known.port}\n    User {ME}\n")
    return known


def test_a_configured_address_needs_no_request_to_ec2(known: Sshd, reach: REACH, ec2: Ec2) -> None:
    reach().connect().close()
    assert ec2.asked == 0


def test_ec2_is_queried_for_the_address_once(unnamed: Sshd, reach: REACH, ec2: Ec2) -> None:
    reach().connect().close()
    assert ec2.asked == 1
    reach().connect().close()
    assert ec2.asked == 1


def test_an_unreachable_remembered_address_is_looked_up_again(
    unnamed: Sshd, reach: REACH, ec2: Ec2
) -> None:
    reach().connect().close()
    unnamed.stop()
    unnamed.host = "127.0.0.2"
    unnamed.start()
    ec2.says = described("127.0.0.2")
    reach().connect().close()
    reach().connect().close()
    assert ec2.asked == 2


def test_a_remembered_address_with_another_host_key_is_looked_up_again(
    unnamed: Sshd, reach: REACH, ec2: Ec2, person: SshUser, tmp_path: Path
) -> None:
    reach().connect().close()
    unnamed.stop()
    unnamed.host = "127.0.0.2"
    unnamed.start()
    ec2.says = described("127.0.0.2")
    with sshd(tmp_path / "stranger", allow=[person.key], port=unnamed.port) as stranger:
        reach().connect().close()
        assert "Accepted" not in stranger.log.read_text()
        ec2.says = described("127.0.0.1")
        unnamed.stop()
        with pytest.raises(HostKeyMismatch):
            reach().connect()


def test_without_another_address_the_first_error_is_reported(
    unnamed: Sshd, reach: REACH, ec2: Ec2
) -> None:
    reach().connect().close()
    unnamed.stop()
    with pytest.raises(Unreachable, match="nothing listens"):
        reach().connect()
    assert ec2.asked == 2


@pytest.mark.parametrize("state", ["shutting-down", "terminated", "stopping", "stopped"])
def test_a_terminated_instance_is_reported(
    unnamed: Sshd, reach: REACH, ec2: Ec2, state: str
) -> None:
    reach().connect().close()
    unnamed.stop()
    ec2.says = described("", state)
    with pytest.raises(InstanceNotRunning, match=f"is {state}") as found:
        reach().connect()
    assert found.value.state == state
    assert found.value.exit_code == 1


def test_a_terminated_instance_with_a_configured_address_is_reported(
    known: Sshd, reach: REACH, ec2: Ec2
) -> None:
    known.stop()
    with pytest.raises(Unreachable):
        reach().connect()
    ec2.says = described("", "terminated")
    with pytest.raises(InstanceNotRunning, match="is terminated"):
        reach().connect()


def test_a_starting_instance_without_an_address_is_pending(
    unnamed: Sshd, reach: REACH, ec2: Ec2
) -> None:
    ec2.says = described("", "pending", private="")
    with pytest.raises(InstanceNotRunning, match="is pending") as found:
        reach().connect()
    assert found.value.why == "it has been starting since 2026-01-27 14:00:00 UTC"


def test_the_private_address_is_used_behind_a_jump_host(
    person: SshUser, reach: REACH, ec2: Ec2, tmp_path: Path
) -> None:
    ec2.says = described("127.0.0.9")
    with (
        sshd(tmp_path / "instance", allow=[person.key], host="127.0.0.3") as server,
        sshd(tmp_path / "jump", allow=[person.key]) as jump,
    ):
        person.configure(
            f"Host i-*\n  Port {server.port}\n  User {ME}\n  ProxyJump {ME}@127.0.0.1:{jump.port}\n"
        )
        person.add_known_hosts(
            server.known_hosts_line(INSTANCE), jump.known_hosts_line(f"[127.0.0.1]:{jump.port}")
        )
        with reach().connect() as connection:
            assert connection.where == f"127.0.0.3:{server.port}"


def test_the_private_address_is_used_without_a_public_one(
    person: SshUser, reach: REACH, ec2: Ec2, tmp_path: Path
) -> None:
    ec2.says = described("")
    with sshd(tmp_path / "instance", allow=[person.key], host="127.0.0.3") as server:
        person.configure(f"Host i-*\n  Port {server.port}\n  User {ME}\n")
        person.add_known_hosts(server.known_hosts_line(INSTANCE))
        reach().connect().close()


def test_the_instances_tag_is_the_last_source_of_the_user(
    unnamed: Sshd, reach: REACH, ec2: Ec2, person: SshUser
) -> None:
    person.configure(f"Host i-*\n  Port {unnamed.port}\n")
    tag = f"<tagSet><item><key>spawn:ssh-user</key><value>{ME}</value></item></tagSet>"
    ec2.says = described(more=tag)
    with reach().connect() as connection:
        assert connection.user == ME
    with reach().connect() as connection:
        assert connection.user == ME
    assert ec2.asked == 1


def test_an_invalid_or_unusable_cache_is_ignored(
    unnamed: Sshd, reach: REACH, ec2: Ec2, person: SshUser
) -> None:
    folder = person.folder / KNOWN_AS
    folder.mkdir(parents=True)
    (folder / f"{INSTANCE}.json").write_bytes(b"\xff{")
    reach().connect().close()
    assert ec2.asked == 1
    (folder / f"{INSTANCE}.json").unlink()
    folder.rmdir()
    folder.write_text("in the way")
    reach().connect().close()
    assert ec2.asked == 2


def test_a_failed_lookup_of_the_address_is_reported_with_its_cause(
    unnamed: Sshd, reach: REACH, ec2: Ec2, monkeypatch: pytest.MonkeyPatch
) -> None:
    ec2.says = ""
    with pytest.raises(SpawnError):
        reach().connect()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="EC2 cannot be reached"):
        reach().connect()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessDenied, match="EC2 cannot be accessed"):
        reach().connect()


def test_an_invalid_user_tag_never_reaches_a_shell(
    unnamed: Sshd, reach: REACH, ec2: Ec2, person: SshUser, tmp_path: Path
) -> None:
    person.configure(f"Host i-*\n  Port {unnamed.port}\n")
    for value in ("a;touch b", "$(touch b)", "-x", "a b"):
        tag = f"<tagSet><item><key>spawn:ssh-user</key><value>{value}</value></item></tagSet>"
        ec2.says = described(more=tag)
        with pytest.raises(AuthenticationFailed, match="rejected the login as ec2-user"):
            reach().connect()
        with pytest.raises(InvalidArgument):
            reach(asked=Flags(ssh_user=value))
        with pytest.raises(AuthenticationFailed, match="rejected the login as ec2-user"):
            reach(told=LogHints(user=value)).connect()


def test_a_remembered_region_is_kept_with_a_configured_address(
    unnamed: Sshd, reach: REACH, ec2: Ec2, person: SshUser
) -> None:
    reach(asked=Flags(region="eu-west-1")).connect().close()
    unnamed_config = person.config.read_text()
    person.map_id_to(unnamed)
    reach().connect().close()
    person.config.write_text(unnamed_config)
    reach().connect().close()
    assert ec2.asked == 1
    kept = (person.folder / KNOWN_AS / f"{INSTANCE}.json").read_text()
    assert '"region":"eu-west-1"' in kept


def test_an_invalid_instance_id_is_rejected(person: SshUser) -> None:
    for name in ("i-", "-oProxyCommand=x", "../../etc", "queue", "i-0abc/../x"):
        with pytest.raises(InvalidArgument):
            InstanceAccess(name, roots(person.environ), environ=person.environ)


def test_regions_that_do_not_answer_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(asked: RecordedRequest) -> Answer:
        if b"Action=DescribeRegions" in asked.body:
            names = "".join(
                f"<item><regionName>{name}</regionName></item>"
                for name in ("us-east-1", "eu-west-1", "us-west-2")
            )
            body = f"<DescribeRegionsResponse><regionInfo>{names}</regionInfo>"
            return Answer(body=f"{body}</DescribeRegionsResponse>".encode())
        if "/us-west-2/" in asked.headers["authorization"]:
            return Answer(500)
        return Answer(
            body=b"<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>"
        )

    with answering(answer) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.endpoint)
        searched = ec2_instances.find_region(INSTANCE, "us-east-1", None, seconds=SECONDS)
        assert searched == ec2_instances.RegionSearch(silent=("us-west-2",))
        monkeypatch.setattr(
            lookup, "find_region", partial(ec2_instances.find_region, seconds=SECONDS)
        )
        with pytest.raises(InstanceNotRunning, match="in a region that did not answer: us-west-2"):
            find_running_instance(INSTANCE, "us-east-1", None)


def test_the_search_for_a_region_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    over = Event()

    def answer(asked: RecordedRequest) -> Answer:
        if b"Action=DescribeRegions" in asked.body:
            over.wait(SECONDS)
        return Answer(
            body=b"<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>"
        )

    with answering(answer) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.endpoint)
        with pytest.raises(Unavailable, match="EC2 does not list its regions"):
            ec2_instances.find_region(INSTANCE, "us-east-1", None, seconds=0.1)
        monkeypatch.setattr(lookup, "find_region", partial(ec2_instances.find_region, seconds=0.1))
        with pytest.raises(InstanceNotRunning, match="or is in another region: EC2 does not list"):
            find_running_instance(INSTANCE, "us-east-1", None)
        over.set()


# moto's EC2; no connection is made


@pytest.fixture
def aws(moto_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    for name, value in moto_server.environ.items():
        monkeypatch.setenv(name, value)
    return moto_server


def _launch(server: Server) -> str:
    client = server.client("ec2")
    found = client.run_instances(
        ImageId=IMAGE,
        InstanceType="m7i.large",
        MinCount=1,
        MaxCount=1,
        KeyName="mine",
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "spawn:queue", "Value": "q"}]}
        ],
    )
    return str(found["Instances"][0]["InstanceId"])


def test_an_instance_is_described(aws: Server) -> None:
    instance_id = _launch(aws)
    found = ec2_instances.describe(instance_id, None, None)
    assert found is not None
    assert (found.instance_id, found.region, found.state) == (instance_id, "us-east-1", "running")
    assert (found.type, found.key_name) == ("m7i.large", "mine")
    assert found.public.count(".") == found.private.count(".") == 3
    assert found.launched_at is not None
    assert found.tags["spawn:queue"] == "q"
    assert ec2_instances.console_output(instance_id, None, None)


def test_an_unknown_instance_is_none(aws: Server) -> None:
    assert ec2_instances.describe("i-0ffffffffffffffff", None, None) is None
    assert (
        ec2_instances.find_region("i-0ffffffffffffffff", None, None, seconds=SECONDS).region == ""
    )


def test_an_instance_in_another_region_is_found_and_the_option_is_named(
    aws: Server, person: SshUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "find_region", partial(ec2_instances.find_region, seconds=SECONDS))
    instance_id = _launch(aws)
    way = InstanceAccess(
        instance_id, roots(person.environ), environ=person.environ, asked=Flags(region="eu-west-1")
    )
    with pytest.raises(InstanceNotRunning, match="is not in eu-west-1") as found:
        way.connect()
    assert (found.value.why, found.value.hint) == ("it is in us-east-1", "--region us-east-1")
    assert found.value.state == "unknown"


def test_an_instance_unknown_in_every_region_is_reported(aws: Server, reach: REACH) -> None:
    with pytest.raises(InstanceNotRunning, match=f"EC2 has no instance {INSTANCE}") as found:
        reach().connect()
    assert found.value.exit_code == 1


def test_a_host_key_is_saved_under_the_id_and_not_the_address(
    unnamed: Sshd, reach: REACH, ec2: Ec2, person: SshUser, tmp_path: Path
) -> None:
    reach().connect().close()
    assert keygen(tmp_path / "unused").exists()
    own = (person.folder / "spawn/cache/ssh/known_hosts").read_text()
    assert own.startswith(f"{INSTANCE} ssh-ed25519 ")
    assert "127.0.0.1 " not in own.partition("spawn:")[0]
