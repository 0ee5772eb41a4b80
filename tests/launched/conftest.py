"""Instances that are launched, and booted by what the launch told them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.machine import missing
from tests.support.s3 import Server, moto


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Server]:
    """An AWS of its own: a list has the newest instance first, whoever launched it."""
    lacks = missing()
    if lacks:
        if os.environ.get("SPAWN_REQUIRE_TOOLS"):
            pytest.fail(f"{lacks}, and it is needed here")
        pytest.skip(lacks)
    with moto(tmp_path) as server:
        yield server
