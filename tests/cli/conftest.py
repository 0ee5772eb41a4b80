"""Machines for the tests of the command line."""

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.cli.support import Home
from tests.support.soak import scaled
from tests.support.warm import SPAWN

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
    """A read-only machine on which queue `good` has completed and then `bad` has failed."""
    made = Home(tmp_path_factory.mktemp("finished"))
    assert made("queue", "run", made.config(GOOD, "good.json")).returncode == 0
    assert made("queue", "run", made.config(BAD, "bad.json")).returncode == 1
    return made


class Demo(NamedTuple):
    """A read-only machine on which `make demo` has run with fewer images."""

    home: Home
    queue: str
    """Queue id."""
    told: str
    """Output of the demo."""


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    made = Home(tmp_path_factory.mktemp("demo"))
    example = shutil.copytree(EXAMPLE, made.root / "example")
    images = example / "data/digits_raw.csv"
    lines = images.read_text().splitlines(keepends=True)
    images.write_text("".join(lines[: scaled(500, len(lines))]))
    program = shlex.join([str(example / "demo"), SPAWN])
    done = made.bash(program, seconds=300, DEMO_HOME=str(made.root))
    assert (done.returncode, done.stderr) == (0, "")
    (made.work,) = made.root.glob("pipeline.*")
    queue = made("queue", "list", "--quiet").stdout.strip()
    return Demo(made, queue, done.stdout)
