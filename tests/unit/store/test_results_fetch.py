"""Names that come from an object store: none leads out of the folder."""

import io
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spawn.core.config.model import JobConfig
from spawn.core.events import JobFailed
from spawn.core.state import JobState
from spawn.store.results.fetch import fetch

PARTS = st.sampled_from(["..", ".", "", "a", "b", "\0", "x" * 300, "-", "~", "é", "a\nb", "*"])
NAMES = st.lists(PARTS, min_size=1, max_size=5).map("/".join)


class Hostile:
    """Objects whose names somebody chose who means harm."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def list(self, prefix: str, after: str = "") -> list[tuple[str, int]]:
        """See `ObjectStore.list`: all on one page."""
        return [] if after else [(prefix + name, 1) for name in self._names]

    def open(self, key: str) -> BinaryIO:
        """See `ObjectStore.open`."""
        return io.BytesIO(b"!")


def _job() -> JobState:
    config = JobConfig(job_id="a", command="true", working_directory="/")
    return JobState(config=config, index=0, state="failed", attempt=1, epoch=1, outcome=JobFailed())


@settings(max_examples=200)
@given(st.lists(NAMES, max_size=6))
def test_no_name_leaves_the_folder(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    root = tmp_path_factory.mktemp("names")
    folder = root / "out" / "a"
    fetched = list(fetch(Hostile(names), _job(), folder))
    written = {path for path in root.rglob("*") if path.is_file()}
    assert all(path.is_relative_to(folder) for path in written)
    assert not any(path.name.endswith(".part") for path in written)
    said = {folder / file.name for file in fetched if not file.error}
    assert written == said
    assert all(not file.verified for file in fetched if file.name != "exit_code")


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//b", "x\0", "y" * 256, "a/"])
def test_a_name_that_means_harm_is_an_error(tmp_path: Path, name: str) -> None:
    (file,) = fetch(Hostile([name]), _job(), tmp_path / "a")
    assert file.error
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
