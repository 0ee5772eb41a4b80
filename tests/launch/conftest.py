"""Launches against moto's AWS: whole commands in this process."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from msgspec import Struct
from tests.support import s3
from tests.support.answers import Answer, RecordedRequest, RecordingServer, answering, forward
from tests.support.queues import job
from tests.support.s3 import Server

from spawn.cli import main
from spawn.cli.support.configuration import load_configuration
from spawn.store.objects.interface import ObjectStore
from spawn.store.objects.location import StoreLocation, open_place
from spawn.store.replica.claim import claim, submit
from spawn.store.replica.submitted import read_submitted

TYPE = "m7i.large"
BUCKET = "spawn-results-us-east-1"
FROM = "198.51.100.7/32"
LAUNCH = ("launch", "--instance-type", TYPE)


class Finished(Struct, frozen=True):
    """Result of a command."""

    code: int
    out: str
    err: str


class Person:
    """The user who launches, with a folder and an AWS endpoint.

    Args:
        aws: The server behind that endpoint, for inspection.
    """

    def __init__(self, folder: Path, aws: Server, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.aws = aws
        self.look: Callable[..., Any] = aws.client
        """Creates a client with all permissions."""
        self._capsys = capsys
        self.name("first")

    def name(self, name: str) -> None:
        """Switch to another queue id."""
        self.queue_id = f"{self.folder.name}.{name}"
        self.file = self.config(job("one", "true"))

    def config(self, *jobs: dict[str, Any], **fields: Any) -> Path:
        """Write a configuration."""
        file = self.folder / "pipeline.json"
        file.write_text(json.dumps({"queue_id": self.queue_id, "jobs": list(jobs), **fields}))
        return file

    def spawn(self, *command: str) -> Finished:
        """Run `spawn ...`."""
        self._capsys.readouterr()
        code = main.run(list(command))
        out, err = self._capsys.readouterr()
        return Finished(code, out, err)

    def launch(self, *flags: str, file: Path | None = None) -> Finished:
        """Launch a queue."""
        return self.spawn(*LAUNCH, "--batch-queue", str(file or self.file), *flags)

    def instances(self, *, every: bool = False) -> list[dict[str, Any]]:
        """Return the live instances of this user's queue, or of every queue."""
        key = {"Name": "tag-key", "Values": ["spawn:queue-id"]}
        mine = {"Name": "tag:spawn:queue-id", "Values": [self.queue_id]}
        filters = [key if every else mine]
        found = self.look("ec2").describe_instances(Filters=filters)["Reservations"]
        all_ = [each for reservation in found for each in reservation["Instances"]]
        return [each for each in all_ if each["State"]["Name"] in ("pending", "running")]

    def objects(self, prefix: str = "") -> list[str]:
        """Return the keys of this user's queue."""
        client = self.look("s3")
        buckets = [each["Name"] for each in client.list_buckets()["Buckets"]]
        return [
            each["Key"].removeprefix(f"{self.queue_id}/")
            for bucket in buckets
            for each in client.list_objects_v2(
                Bucket=bucket, Prefix=f"{self.queue_id}/{prefix}"
            ).get("Contents", [])
        ]

    def parameters(self) -> list[str]:
        """Return the names of this user's parameters."""
        filters = [{"Key": "Name", "Option": "BeginsWith", "Values": ["/spawn-queue/"]}]
        client = self.look("ssm")
        found = client.describe_parameters(ParameterFilters=filters)["Parameters"]
        return [each["Name"] for each in found if self.queue_id in each["Name"]]

    def bucket(self) -> str:
        """Create the region's bucket; returns its name."""
        self.look("s3").create_bucket(Bucket=BUCKET)
        return BUCKET

    def store(self) -> ObjectStore:
        """Store of the queue."""
        place = StoreLocation(bucket=self.bucket(), prefix=self.queue_id, region="us-east-1")
        return open_place(place, self.folder)

    def submit(self) -> None:
        """Submit the queue, as a launch does that fails later."""
        submit(self.store(), load_configuration(self.file).config)

    def claim(self) -> None:
        """Claim the queue as another machine."""
        store = self.store()
        found = read_submitted(store)
        assert found is not None
        claim(store, found.config, by="another machine")

    def user_data(self, instance_id: str) -> str:
        """Return the instance's user data."""
        found = self.look("ec2").describe_instance_attribute(
            InstanceId=instance_id, Attribute="userData"
        )
        return base64.b64decode(found["UserData"]["Value"]).decode()

    def made(self) -> dict[str, Any]:
        """Return the resources that launches create once and reuse."""
        ec2, iam = self.look("ec2"), self.look("iam")
        groups = ec2.describe_security_groups()["SecurityGroups"]
        return {
            "keys": [each["KeyName"] for each in ec2.describe_key_pairs()["KeyPairs"]],
            "groups": [(each["GroupId"], each["IpPermissions"]) for each in groups],
            "roles": [each["RoleName"] for each in iam.list_roles()["Roles"]],
            "profiles": [
                each["InstanceProfileName"]
                for each in iam.list_instance_profiles()["InstanceProfiles"]
            ],
            "buckets": [each["Name"] for each in self.look("s3").list_buckets()["Buckets"]],
        }

    def costs(self) -> dict[str, Any]:
        """Return resources of this user's queue that cost money or hold a secret."""
        return {
            "instances": self.instances(),
            "sent": self.objects("_spawn/boot/"),
            "parameters": self.parameters(),
        }


NOTHING = {"instances": [], "sent": [], "parameters": []}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A separate AWS for this module, since launches create shared resources."""
    with s3.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def person(
    aws: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Person:
    """A user with all permissions."""
    for name, value in aws.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SPAWN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPAWN_SSH_FROM", FROM)
    return Person(tmp_path, aws, capsys)


class Front(Protocol):
    """Creates a server in front of AWS with its own answers; it forwards other requests."""

    def __call__(
        self, answer: Callable[[RecordedRequest], Answer | None], server: Server | None = None
    ) -> RecordingServer:
        """Args: `server` receives the other requests."""
        ...


def starts(asked: RecordedRequest) -> bool:
    """Whether a request starts an instance and is not a dry run."""
    return b"Action=RunInstances" in asked.body and b"DryRun=true" not in asked.body


def refusal(code: str, message: str = "said EC2", status: int = 400) -> Answer:
    """An error in EC2's format."""
    body = (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        "<RequestID>1</RequestID></Response>"
    )
    return Answer(status, body.encode(), {"Content-Type": "text/xml"})


def capacity(asked: RecordedRequest) -> Answer | None:
    """EC2 lacks capacity for this type."""
    return refusal("InsufficientInstanceCapacity") if starts(asked) else None


@pytest.fixture
def front(aws: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """Factory of servers in front of AWS."""
    open_: list[Any] = []

    def make(
        answer: Callable[[RecordedRequest], Answer | None], server: Server | None = None
    ) -> RecordingServer:
        manager = answering(lambda asked: answer(asked) or forward(server or aws, asked))
        made = manager.__enter__()
        open_.append(manager)
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.endpoint)
        return made

    yield make
    for manager in open_:
        manager.__exit__(None, None, None)
