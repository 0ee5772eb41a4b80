"""Results restored to their original paths, and malicious manifests."""

from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.configs import job
from tests.support.disks import inodes, record_syncs

from spawn.core.domain.events import JobCompleted, JobStarted, ResultsUploaded
from spawn.core.domain.state import JobState
from spawn.store.objects.folder import FolderStore
from spawn.store.results.find import EmptyFolder, ResultLink, find_results, may_find
from spawn.store.results.restore import PathOccupied, RestoreRecord, ResultsMissing, restore_results
from spawn.store.results.upload import StoredManifest, UploadedFile

PREFIX = "train/attempts/1.1/"
BODY = b"weights"


def _kept(path: Path | str, name: str = "model", body: bytes = BODY) -> UploadedFile:
    digest = sha256(body).hexdigest()
    return UploadedFile(
        name=name, path=str(path), size=len(body), mode=0o4750, mtime_ns=1, inode=1, sha256=digest
    )


def _job(
    store: FolderStore,
    work: Path,
    *files: UploadedFile,
    links: dict[str, str] | None = None,
    folders: tuple[str, ...] = (),
    v: int = 2,
) -> JobState:
    """A completed job with this manifest, whose hash is in the log."""
    linked = tuple(
        ResultLink(name=path, path=f"{work}/{path}", target=target)
        for path, target in (links or {}).items()
    )
    empty = tuple(EmptyFolder(name=path, path=f"{work}/{path}") for path in folders)
    data = msgspec.json.encode(StoredManifest(files=files, links=linked, folders=empty, v=v))
    for file in files:
        store.put(f"{PREFIX}results/{file.name}", BODY)
    key = f"{PREFIX}manifest.json"
    uploaded = ResultsUploaded(files=1, size=7, key=key, sha256=store.put(key, data))
    config = job("train", working_directory=str(work), result_files=("out", "*.bin"))
    started = JobStarted(token="t", pid=1, folder="/gone", log_file="")
    return JobState(
        config=config,
        index=0,
        state="completed",
        attempt=1,
        epoch=1,
        started=started,
        outcome=JobCompleted(exit_code=0),
        uploaded=uploaded,
    )


def test_a_file_is_restored_with_mode_and_time_but_never_setuid(
    tmp_path: Path,
) -> None:
    work, store = tmp_path / "work", FolderStore(tmp_path / "objects")
    file = work / "out/deep/model"
    state = _job(store, work, _kept(file))
    assert restore_results(store, state) == 1
    assert file.read_bytes() == BODY
    assert (file.stat().st_mode & 0o7777, file.stat().st_mtime_ns) == (0o750, 1)
    assert restore_results(store, state) == 0, "an identical file is not replaced"
    assert [path for path in work.rglob("*") if ".part" in path.name] == []


def test_a_restored_file_is_flushed_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, file = FolderStore(tmp_path / "objects"), tmp_path / "work/out/model"
    state = _job(store, tmp_path / "work", _kept(file))
    synced = record_syncs(monkeypatch)
    assert restore_results(store, state) == 1
    assert synced == inodes(file, file.parent)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/cron.d/x",
        "{work}/out/../../escaped",
        "{work}/other",
        "{work}/sub/x.bin",
        "relative",
        "{work}/out/a\0b",
        "{work}//out/x",
    ],
)
def test_a_manifest_with_impossible_names_is_rejected(tmp_path: Path, path: str) -> None:
    work, store = tmp_path / "work", FolderStore(tmp_path / "objects")
    state = _job(store, work, _kept(path.format(work=work)))
    with pytest.raises(ResultsMissing, match="is not a result of job train"):
        restore_results(store, state)
    assert not work.exists()


@pytest.mark.parametrize("body", [b"", b"weight", b"WEIGHTS", b"weights and more"])
def test_unknown_bytes_do_not_replace_a_file(tmp_path: Path, body: bytes) -> None:
    work, store = tmp_path / "work", FolderStore(tmp_path / "objects")
    file = work / "x.bin"
    state = _job(store, work, _kept(file))
    work.mkdir()
    file.write_bytes(b"mine")
    there = tmp_path / "objects" / PREFIX / "results/model"
    there.write_bytes(body)
    with pytest.raises(ResultsMissing):
        restore_results(store, state)
    assert file.read_bytes() == b"mine"
    assert [path.name for path in work.iterdir()] == ["x.bin"]


def test_a_link_in_place_of_a_file_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    work, store = tmp_path / "work", FolderStore(tmp_path / "objects")
    work.mkdir()
    (tmp_path / "mine").write_text("mine")
    (work / "x.bin").symlink_to(tmp_path / "mine")
    restore_results(store, _job(store, work, _kept(work / "x.bin")))
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (work / "x.bin").is_symlink()


NAMES = st.sampled_from(["a", "b.csv", ".h", "c[1].txt", "d e"])
PATTERNS = st.sampled_from(
    ["*", "**", "**/*.csv", "*/b.csv", "a", "a/", "a/*", "[ab]*", "./a", "a/../a", "?", "c[1].txt"]
)


@given(
    st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=6), st.lists(PATTERNS, max_size=3)
)
def test_every_found_file_passes_the_check_of_names(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[str]], patterns: list[str]
) -> None:
    root = tmp_path_factory.mktemp("found")
    for parts in files:
        path = root.joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError:
            continue
    found = find_results(patterns, str(root))
    assert all(may_find(patterns, str(root), file.path) for file in found.files)
    assert not may_find(patterns, str(root), "/etc/passwd")


def test_links_and_empty_folders_are_restored_and_obstacles_replaced(tmp_path: Path) -> None:
    work, store = tmp_path / "work", FolderStore(tmp_path / "objects")
    links = {"out/latest": "step1", "out/deep/up": ".."}
    state = _job(store, work, _kept(work / "out/step1/model"), links=links, folders=("out/void",))
    (work / "out/latest").mkdir(parents=True)
    (work / "out/void").write_text("a file")
    (work / "out/deep").symlink_to(tmp_path)
    (work / "out/step1").symlink_to(tmp_path)
    for _ in range(2):
        restore_results(store, state)
        assert (work / "out/latest").readlink() == Path("step1")
        assert (work / "out/deep/up").readlink() == Path("..")
        assert (work / "out/latest/model").read_bytes() == BODY
        assert list((work / "out/void").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"work", "objects"}, "no link was followed"
    assert not [path for path in work.rglob("*") if ".part" in path.name]


@pytest.mark.parametrize("place", ["out/latest", "out/step1/model"])
def test_a_folder_with_files_in_place_of_a_result_is_kept_and_named(
    tmp_path: Path, place: str
) -> None:
    work, store = tmp_path / "work", FolderStore(tmp_path / "objects")
    links = {"out/latest": "step1"}
    state = _job(store, work, _kept(work / "out/step1/model"), links=links)
    (work / place).mkdir(parents=True)
    restore_results(store, state)
    (work / place).unlink()
    (work / place).mkdir()
    (work / place / "mine").write_text("notes")
    with pytest.raises(
        PathOccupied, match=f"{work / place} is a folder with files in it"
    ) as raised:
        restore_results(store, state)
    assert "when the folder is moved away" in str(raised.value)
    assert (work / place / "mine").read_text() == "notes"
    assert not [path for path in work.rglob("*") if ".part" in path.name]
    (work / place).rename(work / "away")
    restore_results(store, state)
    assert (work / "out/latest/model").read_bytes() == BODY


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("out/x", "../../objects"),
        ("out/x", "/etc"),
        ("out/x", "y/../../.."),
        ("out/x", "y/.."),
        ("out/x", ""),
        ("out/x", "y//z"),
        ("out/x", "./y"),
        ("out/x", "y\0"),
        ("out/x", "../other"),
        ("other", "out"),
        ("out/../../x", "y"),
    ],
)
def test_a_link_that_leads_out_is_not_created(tmp_path: Path, path: str, target: str) -> None:
    work, store = tmp_path / "work", FolderStore(tmp_path / "objects")
    with pytest.raises(ResultsMissing):
        restore_results(store, _job(store, work, links={path: target}))
    assert not [each for each in tmp_path.rglob("*") if each.is_symlink()]


def test_no_file_is_written_through_a_link_of_the_same_manifest(tmp_path: Path) -> None:
    work, store = tmp_path / "work", FolderStore(tmp_path / "objects")
    state = _job(store, work, _kept(work / "out/latest/model"), links={"out/latest": "step1"})
    with pytest.raises(ResultsMissing):
        restore_results(store, state)


def test_a_newer_manifest_is_rejected_and_an_older_one_is_accepted(tmp_path: Path) -> None:
    work, store = tmp_path / "work", FolderStore(tmp_path / "objects")
    with pytest.raises(ResultsMissing, match="newer version"):
        restore_results(store, _job(store, work, _kept(work / "out/model"), v=3))
    old = {"files": [msgspec.to_builtins(_kept(work / "out/model"))], "unmatched": []}
    state = _job(store, work, _kept(work / "out/model"))
    store = FolderStore(tmp_path / "old")
    store.put(f"{PREFIX}results/model", BODY)
    assert state.uploaded is not None
    digest = store.put(f"{PREFIX}manifest.json", msgspec.json.encode(old))
    state.uploaded = msgspec.structs.replace(state.uploaded, sha256=digest)
    assert restore_results(store, state) == 1


def test_restored_results_are_known_to_the_next_runner_until_an_ancestor_is_reset(
    tmp_path: Path,
) -> None:
    job_ = _job(FolderStore(tmp_path / "objects"), tmp_path)
    assert not RestoreRecord(tmp_path).has(job_)
    RestoreRecord(tmp_path).add(job_)
    with open(tmp_path / "restored", "a") as file:
        file.write("half a li")
    known = RestoreRecord(tmp_path)
    assert known.has(job_)
    job_.upstream_resets = 1
    assert not known.has(job_)
    known.add(job_)
    assert known.has(job_)
    assert RestoreRecord(tmp_path).has(job_)
