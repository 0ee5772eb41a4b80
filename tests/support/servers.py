"""S3 servers as fixtures: each is started once a session, and only when a test asks for it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import ceph, rclone, s3
from tests.support.s3 import Server


def _needs(name: str, missing: str) -> None:
    """Skip where a server's programs are missing; where all must run, fail."""
    if missing:
        if os.environ.get("SPAWN_REQUIRE_S3_SERVERS"):
            pytest.fail(f"{name} is needed here, and {missing} not on PATH")
        pytest.skip(f"{name}: {missing} not on PATH")


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """AWS as moto knows it."""
    with s3.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def radosgw_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Ceph's object gateway."""
    _needs("radosgw", ceph.missing())
    with ceph.radosgw(_short(tmp_path_factory)) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A store that ignores conditional writes."""
    _needs("rclone", "" if rclone.program() else "rclone")
    with rclone.rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


def _short(factory: pytest.TempPathFactory) -> Path:
    """A folder; its sockets' paths must stay below 108 bytes."""
    return factory.mktemp("rgw")
