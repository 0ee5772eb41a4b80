"""Programs are looked up on PATH, never in the current folder."""

from pathlib import Path

import pytest

from spawn.store.programs import find_program


@pytest.mark.parametrize("path", ["", ":", ".", "bin:", ":{}", "{}::", "./bin:{}"])
def test_a_file_in_the_current_folder_is_not_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, here / "bin", there):
        folder.mkdir()
        (folder / "ssh").write_text("#!/bin/sh\n")
        (folder / "ssh").chmod(0o755)
    monkeypatch.chdir(here)
    expected = str(there / "ssh") if "{}" in path else None
    assert find_program("ssh", {"PATH": path.format(there)}) == expected
