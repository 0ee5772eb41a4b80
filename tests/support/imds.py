"""An instance metadata service of our own."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.answers import Answer, Answering, Asked, answering

ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


@contextmanager
def metadata(document: bytes, *, token_status: int = 200) -> Iterator[Answering]:
    """A metadata service that wants a token, as version 2 does."""

    def answer(asked: Asked) -> Answer:
        if (asked.method, asked.path) == ("PUT", "/latest/api/token"):
            wanted = asked.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
            return Answer(token_status if wanted.isdigit() else 400, b"secret==")
        if asked.headers.get("x-aws-ec2-metadata-token") != "secret==":
            return Answer(401)
        if asked.path == "/latest/dynamic/instance-identity/document":
            return Answer(body=document)
        return Answer(404)

    with answering(answer) as server:
        yield server
