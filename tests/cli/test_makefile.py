"""Errors of `make` on a machine that lacks requirements. The repository is not touched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NO_VENV = """\
#!/bin/sh
[ "$2" != "import ensurepip, venv" ] || exit 1
exec {python} "$@"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the files that `make` reads, and a `python` that lacks the venv module."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(NO_VENV.format(python=sys.executable))
    python.chmod(0o755)
    return tmp_path


def _make(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "-C", str(folder), "--no-print-directory", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60)


@pytest.mark.parametrize("target", ["demo", "test"])
def test_a_python_without_venv_is_an_error_that_names_the_package(
    folder: Path, target: str
) -> None:
    python = folder / "python"
    done = _make(folder, target, f"PYTHON={python}")
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    assert done.returncode == 2
    assert done.stderr.splitlines()[:2] == [
        f"{python} cannot create a virtual environment: its venv module is missing",
        f"On Debian and Ubuntu: apt-get install {package}",
    ]
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("target", ["demo", "test"])
def test_without_a_supported_python_make_names_the_required_version(
    folder: Path, target: str
) -> None:
    done = _make(folder, target, "PYTHON=")
    assert done.returncode == 2
    assert done.stderr.startswith("Python 3.11 or newer is needed; set PYTHON=...\n")
    assert not (folder / ".venv").exists()
