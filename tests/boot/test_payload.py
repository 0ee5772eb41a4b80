"""Payload of a launch: a wheel of the running version, its pins, and a folder as git sees it."""

import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import zipfile
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest

import spawn
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.store.aws.boot import constraints, locations, wheel
from spawn.store.aws.boot.archive import archive
from spawn.store.aws.boot.payload import create_payload, upload_payload
from spawn.store.objects.folder import FolderStore

# the wheel and its pins


def test_the_wheel_installs_with_pip_and_has_this_version(tmp_path: Path) -> None:
    file = tmp_path / wheel.name()
    file.write_bytes(wheel.build())
    assert wheel.build() == file.read_bytes()
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(file)], check=True)
    code = "import importlib.metadata as m; from spawn.store.aws.boot import user_data as u;"
    code += "d = m.distribution('spawn-queue'); print(d.version, u.__file__, *d.entry_points);"
    code += "print(len(u._script('courier.py')), u._script('bootstrap.sh')[:11])"
    env = {"PYTHONPATH": str(target), "PATH": os.defpath}
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{spawn.__version__} {target}")
    assert "spawn.cli.main:main" in done.stdout
    assert "#!/bin/bash" in done.stdout


def test_the_wheel_contains_every_file_of_a_built_one(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(root)], check=True)
    (built,) = tmp_path.glob("*.whl")
    assert built.name == wheel.name()
    with zipfile.ZipFile(built) as one, zipfile.ZipFile(io.BytesIO(wheel.build())) as other:
        assert other.testzip() is None
        assert set(one.namelist()) <= set(other.namelist())


def test_pins_cover_runtime_dependencies_and_no_development_ones() -> None:
    lines = constraints.pins().splitlines()
    found = dict(line.partition(" ;")[0].split("==") for line in lines)
    for name in ("boto3", "botocore", "urllib3", "sqlalchemy", "cryptography"):
        assert found[name] == version(name)
    assert not {"pytest", "moto", "mypy", "spawn-queue"} & found.keys()
    assert lines == sorted(lines)


# the folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with every kind of entry."""
    made = tmp_path / "work"
    for name in ("a/keep.log", "a/drop.tmp", "a/.gitignore", "b/out/x", "b/y", "run.sh", "z.log"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    (made / ".gitignore").write_text("*.log\nout/\n")
    (made / "a/.gitignore").write_text("!keep.log\n*.tmp\n")
    (made / "run.sh").chmod(0o755)
    (made / "b/y").chmod(0o640)
    (made / "link").symlink_to("a/keep.log")
    (made / "b/up").symlink_to("../run.sh")
    return made


def _packed(folder: Path) -> tuple[tarfile.TarFile, tuple[str, ...]]:
    out = io.BytesIO()
    left = archive(folder, out)
    return tarfile.open(fileobj=io.BytesIO(out.getvalue())), left


TRAVELS = [".gitignore", "a/.gitignore", "a/keep.log", "b/up", "b/y", "link", "run.sh"]


@pytest.mark.tool("git")
@pytest.mark.parametrize("repository", [False, True])
def test_the_files_that_git_would_add_are_packed(folder: Path, *, repository: bool) -> None:
    if repository:
        subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    tar, left = _packed(folder)
    assert tar.getnames() == TRAVELS
    assert left == ()
    modes = {each.name: each.mode for each in tar if each.isfile()}
    assert (modes["run.sh"], modes["b/y"]) == (0o755, 0o640)
    assert tar.getmember("b/up").linkname == "../run.sh"


@pytest.mark.tool("git")
def test_a_nested_repository_is_packed_without_its_history(folder: Path) -> None:
    for path in (folder, folder / "b"):
        subprocess.run(["git", "init", "--quiet", str(path)], check=True)
    there = sorted([*TRAVELS, "b/out/x"])  # the outer .gitignore does not apply
    assert _packed(folder)[0].getnames() == there


@pytest.mark.tool("git")
def test_equal_folders_give_equal_archives(folder: Path, tmp_path: Path) -> None:
    again = shutil.copytree(folder, tmp_path / "again", symlinks=True)
    os.utime(again / "run.sh", (1, 1))
    one, two = io.BytesIO(), io.BytesIO()
    archive(folder, one)
    archive(again, two)
    assert one.getvalue() == two.getvalue()


@pytest.mark.tool("git")
def test_special_files_and_outside_links_are_left_out_and_named(folder: Path) -> None:
    (folder / "out-link").symlink_to("../../etc/passwd")
    (folder / "absolute").symlink_to("/etc/passwd")
    (folder / "ring").symlink_to("ring")
    os.mkfifo(folder / "a/pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "sock"))
        tar, left = _packed(folder)
    assert tar.getnames() == TRAVELS
    assert left == ("a/pipe", "absolute", "out-link", "ring", "sock")


def test_a_missing_or_empty_folder_is_rejected(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "not a folder"), (tmp_path, "nothing to sync")):
        with pytest.raises(InvalidArgument, match=why):
            archive(path, io.BytesIO())


def test_without_git_a_folder_with_ignore_files_is_rejected(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpawnError, match=r"\.gitignore cannot be applied"):
        archive(folder, io.BytesIO())
    (folder / ".gitignore").unlink()
    (folder / "a/.gitignore").unlink()
    assert "b/out/x" in _packed(folder)[0].getnames()


# together


def test_the_payload_is_stored_under_its_launch_with_the_planned_hashes(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "setup.sh").write_text("true")
    store = FolderStore(tmp_path / "objects")
    with create_payload(b"{}", sync=folder, setup=tmp_path / "setup.sh") as payload:
        for _ in range(2):  # twice, as after a lost reply
            upload_payload(payload, store, "l-1")
        made = payload.objects[locations.ARCHIVE]
    assert isinstance(made, Path)
    assert not made.exists()
    there = [key for key, _ in store.list("_spawn/boot/l-1/")]
    assert there == sorted(f"_spawn/boot/l-1/{name}" for name in payload.files)
    for name, digest in payload.files.items():
        assert sha256(store.read(f"_spawn/boot/l-1/{name}").data).hexdigest() == digest
    assert payload.files.keys() == {
        *("queue-config.json", "requirements.txt", "setup", "work.tar.gz", wheel.name())
    }


def test_a_different_object_at_a_payload_key_is_an_error(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "objects")
    store.put("_spawn/boot/l-1/queue-config.json", b"other")
    with pytest.raises(SpawnError, match="already exists"):
        upload_payload(create_payload(b"{}", sync=None, setup=None), store, "l-1")


def test_a_missing_or_empty_setup_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("none", "empty"):
        with pytest.raises(InvalidArgument, match=name):
            create_payload(b"{}", sync=None, setup=tmp_path / name)
