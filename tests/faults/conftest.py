"""A real S3 server for the session, and machines that reach it through a proxy that fails."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.machines import Machines, machines_in
from tests.support.s3 import Server, moto


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A moto server."""
    with moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def machines(tmp_path: Path, server: Server) -> Iterator[Machines]:
    """Machines with a bucket of their own; at the end all that holds for every queue is checked."""
    bucket = f"b-{sha256(bytes(tmp_path)).hexdigest()[:32]}"
    with machines_in(tmp_path, server.endpoint, bucket) as machines:
        # From one try of a refused upload to the next: the number of tries is what tests are about.
        machines.hurry("spawn.runner.publisher.AGAIN_SECONDS", [0.1, 0.4])
        yield machines
