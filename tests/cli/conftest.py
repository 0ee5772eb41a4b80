"""Machines for the tests of the command line."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.support import Home

EXAMPLE = Path(__file__).parents[2] / "examples/pipeline"

GOOD = {
    "queue_id": "good",
    "jobs": [
        {"job_id": "fetch", "command": "echo fetched"},
        {"job_id": "count", "command": "seq 3", "depends_on": ["fetch"]},
    ],
}
BAD = {
    "queue_id": "bad",
    "jobs": [
        {"job_id": "fetch", "command": "true"},
        {"job_id": "count", "command": "echo oops >&2; exit 3", "depends_on": ["fetch"]},
        {"job_id": "report", "command": "true", "depends_on": ["count"]},
    ],
}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty machine."""
    made = Home(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A machine, to be read only, on which the queue `good` completed and then `bad` failed."""
    made = Home(tmp_path_factory.mktemp("finished"))
    assert made("queue", "run", made.config(GOOD, "good.json")).returncode == 0
    assert made("queue", "run", made.config(BAD, "bad.json")).returncode == 1
    return made


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A machine, to be read only, on which the example pipeline has run as the queue `demo`."""
    made = Home(tmp_path_factory.mktemp("demo"))
    ignored = shutil.ignore_patterns("work", "__pycache__")
    shutil.copytree(EXAMPLE, made.work, ignore=ignored, dirs_exist_ok=True)
    done = made("queue", "run", "pipeline.json", "--no-s3", "--queue-id", "demo", seconds=300)
    (made.work / "run.out").write_text(done.stdout)
    (made.work / "run.err").write_text(done.stderr)
    assert done.returncode == 0, done.stderr
    return made
