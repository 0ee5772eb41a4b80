"""A home for queues that really run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.queues import World, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A home of its own; at the end of the test all that holds for every queue is checked."""
    with world_in(tmp_path) as world:
        yield world
