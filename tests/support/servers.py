"""S3 servers as fixtures: each is started once per session, when a test first needs it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import ceph, rclone, s3
from tests.support.s3 import Server


def _needs(name: str, missing: str) -> None:
    """Skip the test if a server's programs are missing; fail it where all tests must run."""
    if missing:
        if os.environ.get("SPAWN_REQUIRE_S3_SERVERS"):
            pytest.fail(f"{name} is needed here, and {missing} not on PATH")
        pytest.skip(f"{name}: {missing} not on PATH")


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A moto server."""
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
    """Return a folder with a short path: paths of sockets are limited to 108 bytes."""
    return factory.mktemp("rgw")
