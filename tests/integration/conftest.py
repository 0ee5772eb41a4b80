"""Fixtures for real queues."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.queues import World, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A separate home; its general invariants are checked at the end of the test."""
    with world_in(tmp_path) as world:
        yield world
