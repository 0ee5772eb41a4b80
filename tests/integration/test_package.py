"""Folders at the root, and one package in the wheel."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("core", "runner", "store", "cli", "migrations")


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_package_link_and_each_root_folder_are_mapped(folder: str) -> None:
    link = ROOT / "src" / "spawn" / folder
    assert link.is_symlink()
    assert link.resolve() == ROOT / folder
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert wheel["targets"]["wheel"]["sources"][folder] == f"spawn/{folder}"
    assert folder in wheel["targets"]["wheel"]["only-include"]
    assert folder in wheel["targets"]["sdist"]["only-include"]


def test_the_wheel_installs_one_package_that_runs(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    assert sorted(path.name for path in site.iterdir() if path.suffix != ".dist-info") == ["spawn"]
    inside = {path.relative_to(site / "spawn") for path in (site / "spawn").rglob("*.*")}
    for folder in FOLDERS:
        kinds = (".py", ".html", ".css", ".sh")
        code = (path for path in (ROOT / folder).rglob("*") if path.suffix in kinds)
        there = {path.relative_to(ROOT) for path in code}
        assert there <= inside
    (site / "queue.json").write_text('{"jobs": [{"job_id": "a", "command": "true"}]}')
    run = [sys.executable, "-m", "spawn.cli", "queue", "run", "queue.json", "--no-s3"]
    done = subprocess.run(
        run,
        cwd=site,
        env={
            "PYTHONPATH": str(site),
            "SPAWN_HOME": str(tmp_path / "home"),
            "PATH": "/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "1 of 1 jobs completed" in done.stdout
    where = subprocess.run(
        [sys.executable, "-c", "import spawn.core; print(spawn.core.__file__)"],
        cwd=site,
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(site))
