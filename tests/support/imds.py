"""An instance metadata service of our own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.support.answers import Answer, Answering, Asked, answering

ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


class Spot:
    """What the service says of the instance's end."""

    def __init__(self) -> None:
        self.notice: bytes | None = None

    def take_back(self, seconds: float, action: str = "terminate") -> str:
        """Give notice; returns the moment, as EC2 writes it."""
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
        said = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.notice = json.dumps({"action": action, "time": said}).encode()
        return said


@contextmanager
def metadata(
    document: bytes, *, token_status: int = 200, spot: Spot | None = None
) -> Iterator[Answering]:
    """A metadata service that wants a token, as version 2 does."""

    def answer(asked: Asked) -> Answer:
        if (asked.method, asked.path) == ("PUT", "/latest/api/token"):
            wanted = asked.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
            return Answer(token_status if wanted.isdigit() else 400, b"secret==")
        if asked.headers.get("x-aws-ec2-metadata-token") != "secret==":
            return Answer(401)
        if asked.path == "/latest/dynamic/instance-identity/document":
            return Answer(body=document)
        if asked.path == "/latest/meta-data/spot/instance-action" and spot and spot.notice:
            return Answer(body=spot.notice)
        return Answer(404)

    with answering(answer) as server:
        yield server
