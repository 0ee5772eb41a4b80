"""A fake instance metadata service."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.support.answers import Answer, RecordedRequest, RecordingServer, answering

ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


class Spot:
    """The spot notice of the service."""

    def __init__(self) -> None:
        self.notice: bytes | None = None

    def give_notice(self, seconds: float, action: str = "terminate") -> str:
        """Give notice; returns the deadline in EC2's format."""
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
        said = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.notice = json.dumps({"action": action, "time": said}).encode()
        return said


_ROLES = "/latest/meta-data/iam/security-credentials/"
ROLE = {
    "Code": "Success",
    "AccessKeyId": "ASIAROLE",
    "SecretAccessKey": "role-secret",
    "Token": "role-token",
    "Expiration": "2099-01-01T00:00:00Z",
}
"""Credentials of the instance's role."""


@contextmanager
def metadata(
    document: bytes, *, token_status: int = 200, role: bool = False, spot: Spot | None = None
) -> Iterator[RecordingServer]:
    """A metadata service that requires a token, as version 2 does.

    Args:
        role: Whether the instance has a role.
        spot: Its spot notice.
    """

    def answer(asked: RecordedRequest) -> Answer:
        if (asked.method, asked.path) == ("PUT", "/latest/api/token"):
            wanted = asked.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
            return Answer(token_status if wanted.isdigit() else 400, b"secret==")
        if asked.headers.get("x-aws-ec2-metadata-token") != "secret==":
            return Answer(401)
        if asked.path == "/latest/dynamic/instance-identity/document":
            return Answer(body=document)
        if asked.path == "/latest/meta-data/spot/instance-action" and spot and spot.notice:
            return Answer(body=spot.notice)
        if role and asked.path == _ROLES:
            return Answer(body=b"spawn-instance")
        if role and asked.path == f"{_ROLES}spawn-instance":
            return Answer(body=json.dumps(ROLE).encode())
        return Answer(404)

    with answering(answer) as server:
        yield server
