"""Names from an object store never lead out of the folder."""

import io
import json
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.support.soak import scaled

from spawn.core.config.model import JobConfig
from spawn.core.domain.events import CheckpointSaved, JobFailed, ResultsUploaded
from spawn.core.domain.state import JobState
from spawn.store.objects.folder import FolderStore
from spawn.store.objects.interface import ObjectStore
from spawn.store.results.attempt_files import DownloadChoice
from spawn.store.results.download_attempts import AttemptDownloader, DownloadedFile

PARTS = st.sampled_from(["..", ".", "", "a", "b", "\0", "x" * 300, "-", "~", "é", "a\nb", "*"])
NAMES = st.lists(PARTS, min_size=1, max_size=5).map("/".join)


class Hostile(FolderStore):
    """Objects with malicious names."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(Path("/nowhere"))
        self._names = names

    def list(self, prefix: str, after: str = "") -> list[tuple[str, int]]:
        return [(prefix + name, 1) for name in self._names]

    def open_range(self, key: str, at: int, size: int, etag: str = "") -> tuple[BinaryIO, str]:
        return io.BytesIO(b"!"), "e"


def _job() -> JobState:
    config = JobConfig(job_id="a", command="true", working_directory="/")
    return JobState(config=config, index=0, state="failed", attempt=1, epoch=1, outcome=JobFailed())


def _fetch(objects: ObjectStore, root: Path) -> list[DownloadedFile]:
    with AttemptDownloader(objects, root) as fetch:
        (brought,) = fetch.run([DownloadChoice(job=_job())])
    return brought.files


@settings(max_examples=scaled(50, 200))
@given(st.lists(NAMES, max_size=6))
def test_no_name_leaves_the_folder(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    root = tmp_path_factory.mktemp("names")
    folder = root / "out" / "a"
    fetched = _fetch(Hostile(names), root / "out")
    written = {path for path in root.rglob("*") if path.is_file()}
    assert all(path.is_relative_to(folder) for path in written)
    assert not any(path.name.endswith(".part") for path in written)
    said = {folder / file.name for file in fetched if not file.error}
    assert written == said
    assert all(not file.verified for file in fetched if file.name != "exit_code")


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//b", "x\0", "y" * 256, "a/"])
def test_a_malicious_name_is_an_error(tmp_path: Path, name: str) -> None:
    (file,) = _fetch(Hostile([name]), tmp_path)
    assert file.error
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_link_in_the_path_is_not_followed(tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    out = tmp_path / "out"
    for link in ("a", "a/results"):
        (out / link).parent.mkdir(parents=True, exist_ok=True)
        (out / link).symlink_to(away)
        (file,) = _fetch(Hostile(["results/x"]), out)
        assert "is in the way" in file.error
        assert list(away.iterdir()) == []
        (out / link).unlink()


def test_a_link_in_place_of_a_file_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "out/a").mkdir(parents=True)
    (tmp_path / "out/a/x").symlink_to(target)
    (file,) = _fetch(Hostile(["x"]), tmp_path / "out")
    assert file.error == ""
    assert target.read_text() == "mine"
    assert (tmp_path / "out/a/x").read_text() == "!"


def test_names_that_differ_only_in_case_are_distinguished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spawn.store.results.download_folder._is_there", lambda *_: True)
    files = _fetch(Hostile(["Model", "model", "caf\u00e9", "cafe\u0301"]), tmp_path)
    failed = {file.name: file.error for file in files if file.error}
    assert len(failed) == 2
    assert all("on this file system it is the same file as" in error for error in failed.values())


def test_a_checkpoint_is_verified_against_the_log(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "objects")
    at = "a/attempts/1.1/"
    files = [{"name": "model", "size": 4, "sha256": sha256(b"half").hexdigest()}]
    digest = store.put(f"{at}checkpoint.json", json.dumps({"files": files}).encode())
    store.put(f"{at}checkpoint/model", b"half")
    store.put(f"{at}checkpoint/stranger", b"?")
    job = _job()
    saved = CheckpointSaved(files=1, size=4, key=f"{at}checkpoint.json", sha256=digest)

    def fetch(saved: CheckpointSaved | None, out: str) -> dict[str, tuple[bool, str]]:
        job.checkpoint = saved
        with AttemptDownloader(store, tmp_path / out) as fetch:
            (brought,) = fetch.run([DownloadChoice(job=job)])
        return {file.name: (file.verified, file.error) for file in brought.files}

    assert fetch(saved, "out") == {
        "checkpoint.json": (True, ""),
        "checkpoint/model": (True, ""),
        "checkpoint/stranger": (False, ""),
    }
    assert (tmp_path / "out/a/checkpoint/model").read_bytes() == b"half"
    forged = structs.replace(saved, sha256="0" * 64)
    assert "does not match the log" in fetch(forged, "forged")["checkpoint.json"][1]
    assert not fetch(None, "unknown")["checkpoint/model"][0]
    (tmp_path / "objects" / f"{at}checkpoint/model").write_bytes(b"HALF")
    assert "do not match the log" in fetch(saved, "changed")["checkpoint/model"][1]


def test_links_of_a_manifest_stay_inside_and_are_never_written_through(
    tmp_path: Path,
) -> None:
    store = FolderStore(tmp_path / "objects")
    at = "a/attempts/1.1/"
    links = {
        "ckpt/latest": "step1",
        "ckpt/up": "..",
        "top": ".",
        "ckpt/out": "../../x",
        "ckpt/root": "/etc",
        "ckpt/back": "up/..",
        "../away": "x",
        "ckpt/step1": "x",
    }
    names = ["ckpt/step1/w", "ckpt/latest/x"]
    files = [{"name": each, "size": 1, "sha256": sha256(b"1").hexdigest()} for each in names]
    linked = [{"name": name, "path": "", "target": each} for name, each in links.items()]
    empty = [{"name": "void", "path": ""}, {"name": "../void", "path": ""}]
    data = json.dumps({"files": files, "links": linked, "folders": empty, "v": 2}).encode()
    for name in names:
        store.put(f"{at}results/{name}", b"1")
    job = _job()
    key = f"{at}manifest.json"
    job.uploaded = ResultsUploaded(files=2, size=2, key=key, sha256=store.put(key, data))
    for again in range(2):
        with AttemptDownloader(store, tmp_path / "out") as fetch:
            (brought,) = fetch.run([DownloadChoice(job=job)])
        failed = {file.name.removeprefix("results/") for file in brought.files if file.error}
        assert failed >= {"ckpt/out", "ckpt/root", "ckpt/back", "../away", "../void"}, again
        results = tmp_path / "out/a/results"
        assert (results / "ckpt/up").readlink() == Path("..")
        assert (results / "top").readlink() == Path()
        assert (results / "void").is_dir()
        # Two names of this manifest are a folder and a link: the first one stays.
        assert len(failed & {"ckpt/latest", "ckpt/latest/x"}) == 1
        assert len(failed & {"ckpt/step1", "ckpt/step1/w"}) == 1
        made = [path for path in tmp_path.rglob("*") if path.is_symlink()]
        assert all(path.resolve().is_relative_to(results) for path in made)
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_large_object_is_read_in_ranges_and_rejected_if_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spawn.store.results.download_object.RANGE", 1000)
    store = FolderStore(tmp_path / "objects")
    body = bytes(range(256)) * 40
    store.put("a/attempts/1.1/x", body)
    (file,) = _fetch(store, tmp_path / "out")
    assert file.error == ""
    assert (tmp_path / "out/a/x").read_bytes() == body
    reads = 0
    real = FolderStore.open_range

    def swap(self: FolderStore, key: str, at: int, size: int, etag: str = "") -> object:
        nonlocal reads
        reads += 1
        if reads == 5:
            (tmp_path / "other").write_bytes(body[::-1])
            (tmp_path / "other").replace(tmp_path / "objects" / key)
        return real(self, key, at, size, etag)

    monkeypatch.setattr(FolderStore, "open_range", swap)
    (file,) = _fetch(store, tmp_path / "again")
    assert file.error == "it changed while it was read"
    assert not [path for path in (tmp_path / "again").rglob("*") if path.is_file()]
