"""A real S3 server over HTTP, on loopback, for as long as a test session needs it."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct
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
    """Where it listens."""

    endpoint: str

    @property
    def environ(self) -> dict[str, str]:
        """What makes boto3 ask it, and nobody else."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.endpoint}


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(endpoint: str) -> bool:
    """Whether something speaks HTTP there."""
    with suppress(OSError):
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(endpoint, timeout=1).close()
        return True
    return False


@contextmanager
def moto(folder: Path) -> Iterator[Server]:
    """Run a moto server; its output goes to a file in `folder`."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with open(folder / "moto.log", "wb") as log:
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("moto_server")),
                "-H",
                "127.0.0.1",
                "-p",
                str(port),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **CREDENTIALS},
        )
    try:
        wait_until(lambda: answers(endpoint), seconds=30, what="moto answers")
        yield Server(endpoint)
    finally:
        process.kill()
        process.wait()
