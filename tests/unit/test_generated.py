"""What is derived is up to date."""

from pathlib import Path

import pytest
from tests.support.generate import ROOT, generated


@pytest.mark.parametrize("path", generated(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_generated_file_says_what_it_is_derived_from(path: Path) -> None:
    assert path.read_text() == generated()[path], "stale: run `make docs`"
