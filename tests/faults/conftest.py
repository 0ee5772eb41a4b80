"""A real S3 server for the session, and machines that reach it through a faulty proxy."""

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
    """Machines with a separate bucket; general invariants are checked at the end of the test."""
    bucket = f"b-{sha256(bytes(tmp_path)).hexdigest()[:32]}"
    with machines_in(tmp_path, server.endpoint, bucket) as machines:
        # Pause between tries of a rejected upload: tests are about the number of tries.
        machines.override_constant(
            "spawn.runner.transfers.publisher.PERMANENT_ERROR_PAUSES", [0.1, 0.4]
        )
        yield machines
