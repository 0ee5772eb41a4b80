"""An instance and who asks it, for tests of whole commands."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.instances import Instance, Person, instance_in
from tests.support.s3 import Server
from tests.support.sshd import missing


@pytest.fixture
def needs_sshd() -> None:
    """Skip where there is no sshd; where all must run, fail."""
    needs_sshd_()


def needs_sshd_() -> None:
    """What `needs_sshd` does, for fixtures that last longer."""
    lacks = missing()
    if lacks:
        if os.environ.get("SPAWN_REQUIRE_TOOLS"):
            pytest.fail(f"{lacks} is needed here, and not there")
        pytest.skip(f"{lacks} is not there: openssh-server and openssh-client have it")


@pytest.fixture
def bare(tmp_path: Path, moto_server: Server, needs_sshd: None) -> Iterator[Instance]:
    """An instance whose feed does not run."""
    with instance_in(tmp_path, moto_server) as made:
        yield made


@pytest.fixture
def instance(bare: Instance) -> Instance:
    """An instance whose feed serves."""
    bare.serve()
    return bare


@pytest.fixture
def person(bare: Instance) -> Person:
    """Who asks it."""
    return bare.person
