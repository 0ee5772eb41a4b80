"""An instance metadata service of our own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.answers import Answer, Answering, Asked, answering

ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


_ROLES = "/latest/meta-data/iam/security-credentials/"
ROLE = {
    "Code": "Success",
    "AccessKeyId": "ASIAROLE",
    "SecretAccessKey": "role-secret",
    "Token": "role-token",
    "Expiration": "2099-01-01T00:00:00Z",
}
"""The credentials of an instance's role."""


@contextmanager
def metadata(
    document: bytes, *, token_status: int = 200, role: bool = False
) -> Iterator[Answering]:
    """A metadata service that wants a token, as version 2 does.

    Args:
        role: Whether the instance has a role.
    """

    def answer(asked: Asked) -> Answer:
        if (asked.method, asked.path) == ("PUT", "/latest/api/token"):
            wanted = asked.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
            return Answer(token_status if wanted.isdigit() else 400, b"secret==")
        if asked.headers.get("x-aws-ec2-metadata-token") != "secret==":
            return Answer(401)
        if asked.path == "/latest/dynamic/instance-identity/document":
            return Answer(body=document)
        if role and asked.path == _ROLES:
            return Answer(body=b"spawn-instance")
        if role and asked.path == f"{_ROLES}spawn-instance":
            return Answer(body=json.dumps(ROLE).encode())
        return Answer(404)

    with answering(answer) as server:
        yield server
