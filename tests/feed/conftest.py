"""Worlds for tests of the feed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.feeds import Feed, Laptop, feed_of
from tests.support.queues import World, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world that is checked at the end of the test."""
    with world_in(tmp_path) as made:
        yield made


@pytest.fixture
def feed(world: World) -> Iterator[Feed]:
    """A feed of the world."""
    with feed_of(world) as made:
        yield made


@pytest.fixture
def laptop(feed: Feed, tmp_path: Path) -> Laptop:
    """A machine that queries the feed."""
    return Laptop(tmp_path / "laptop", feed.address)
