"""An instance and a client of it, for tests of whole commands."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.instances import Instance, Person, instance_in
from tests.support.s3 import Server
from tests.support.sshd import missing


@pytest.fixture
def needs_sshd() -> None:
    """Skip the test without an sshd; fail it where all tests must run."""
    needs_sshd_()


def needs_sshd_() -> None:
    """Same as `needs_sshd`, for fixtures with a wider scope."""
    lacks = missing()
    if lacks:
        if os.environ.get("SPAWN_REQUIRE_TOOLS"):
            pytest.fail(f"{lacks} is needed here, and not there")
        pytest.skip(f"{lacks} is not there: openssh-server and openssh-client have it")


@pytest.fixture
def bare(tmp_path: Path, moto_server: Server, needs_sshd: None) -> Iterator[Instance]:
    """An instance without a running feed."""
    with instance_in(tmp_path, moto_server) as made:
        yield made


@pytest.fixture
def instance(bare: Instance) -> Instance:
    """An instance with a running feed."""
    bare.start_feed()
    return bare


@pytest.fixture
def person(bare: Instance) -> Person:
    """The user who queries the instance."""
    return bare.person
