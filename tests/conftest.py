"""Fixtures and hooks for every test."""

import gc
import os
import shutil
import signal
from itertools import islice

import pytest
from hypothesis import settings
from tests.support import warm
from tests.support.soak import scaled

from spawn.runner.guardian import RESTARTS

settings.register_profile("spawn", deadline=None, print_blob=True, max_examples=scaled(50, 100))
settings.load_profile("spawn")
# A shell that runs pytest in the background ignores SIGINT, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Tests kill runners and inspect the next one, so tests themselves start that one.
os.environ[RESTARTS] = "0"


_KEPT = ("SPAWN_REQUIRE_", "SPAWN_COLD", RESTARTS)

warm.decode_once()

pytest_plugins = ["tests.support.servers"]


def pytest_configure(config: pytest.Config) -> None:
    """Share the fork servers among the workers."""
    if config.getoption("numprocesses", None):
        os.environ[warm.VARIABLE] = warm.start()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first: each worker gets an equal part of the list, from its start."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first = [item for item in items if item.get_closest_marker("long")]
    rest = iter([item for item in items if not item.get_closest_marker("long")])
    part = -(-len(items) // workers)
    parts = [first[number::workers] for number in range(workers)]
    items[:] = [each for mine in parts for each in (*mine, *islice(rest, part - len(mine)))]
    items += rest


def pytest_collection_finish() -> None:
    """Freeze the collected objects: garbage collection takes longer than most tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing, with the reason; fail it where all tests must run."""
    for mark in item.iter_markers("tool"):
        name = mark.args[0]
        if shutil.which(name) is None:
            if os.environ.get("SPAWN_REQUIRE_TOOLS"):
                pytest.fail(f"{name} is needed here and not on PATH")
            pytest.skip(f"{name} is not on PATH")


@pytest.fixture(autouse=True)
def _cold(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the real program in tests marked `cold`."""
    if request.node.get_closest_marker("cold"):
        monkeypatch.setattr(warm, "cold", True)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the developer's own settings from tests."""
    for name in list(os.environ):
        if name.startswith("SPAWN_") and not name.startswith(_KEPT):
            monkeypatch.delenv(name)
    monkeypatch.delenv("NO_COLOR", raising=False)
