"""Instances that are launched, and boot from their user data."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.machine import missing
from tests.support.s3 import Server, moto


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Server]:
    """A separate AWS: a list has the newest instance first, from any launch."""
    lacks = missing()
    if lacks:
        if os.environ.get("SPAWN_REQUIRE_TOOLS"):
            pytest.fail(f"{lacks}, and it is needed here")
        pytest.skip(lacks)
    with moto(tmp_path) as server:
        yield server
