"""Generated files are up to date."""

from pathlib import Path

import pytest
from tests.support.generate import ROOT, generated


@pytest.mark.parametrize("path", generated(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text() == generated()[path], "stale: run `make docs`"
