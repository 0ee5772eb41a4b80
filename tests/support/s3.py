"""A real S3 server over HTTP on loopback, for a test session."""

import os
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct
from tests.support import warm
from tests.support.wait import wait_until

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


class Server(Struct, frozen=True):
    """Address of a server."""

    endpoint: str

    @property
    def environ(self) -> dict[str, str]:
        """Environment that makes boto3 use this server only."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.endpoint}

    def client(self, service: str = "s3") -> Any:
        """Create a boto3 client to inspect the server."""
        return _client(self.endpoint, service)


@cache
def _client(endpoint: str, service: str) -> Any:
    import boto3

    session = boto3.Session(
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
    )
    return session.client(service, endpoint_url=endpoint)


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(endpoint: str) -> bool:
    """Whether an HTTP server answers there."""
    with suppress(OSError):
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(endpoint, timeout=1).close()
        return True
    return False


@contextmanager
def daemon(
    command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server in the foreground of its own process, with its output in a file."""
    with open(log, "wb") as file:
        process = warm.spawn(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, **(environ or {})},
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def moto(folder: Path) -> Iterator[Server]:
    """Run a moto server, with its output in a file in `folder`."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [*warm.MOTO, "-H", "127.0.0.1", "-p", str(port)]
    with daemon(command, folder / "moto.log", CREDENTIALS):
        wait_until(lambda: answers(endpoint), seconds=30, what="moto answers")
        yield Server(endpoint)
