"""The manifest of an attempt's results, and their upload."""

import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from tests.support.configs import job
from tests.support.logs import LogBuilder, running
from tests.support.users import public_folder, unprivileged

from spawn.core.config.model import JobConfig, QueueConfig
from spawn.core.domain.events import JobCompleted, JobStarted, ResultsUploaded
from spawn.core.domain.state import JobState
from spawn.store.objects.folder import FolderStore
from spawn.store.results.manifest import NAME, read_manifest, write_manifest
from spawn.store.results.restore import restore_results
from spawn.store.results.upload import ResultFileLost, publish


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The job's working directory with two results."""
    work = tmp_path / "work"
    (work / "out").mkdir(parents=True)
    (work / "out/a.csv").write_bytes(b"a,b\n")
    (work / "model.pth").write_bytes(b"weights")
    return work


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The attempt's folder with its output."""
    folder = tmp_path / "attempt-1.abc"
    folder.mkdir()
    (folder / "stdout.log").write_bytes(b"hello\n")
    (folder / "stderr.log").write_bytes(b"")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder for the objects."""
    return tmp_path / "objects"


def _config(work: Path, *patterns: str) -> JobConfig:
    return job("train", working_directory=str(work), result_files=patterns)


def _completed(config: JobConfig, folder: Path) -> JobState:
    log: LogBuilder = running(QueueConfig(jobs=(config,)))
    results = write_manifest(config, folder) if config.result_files else None
    begun = JobStarted(token="abc", pid=7, folder=str(folder), log_file="/l/train.log")
    log.job("train", begun, JobCompleted(exit_code=0, results=results), attempt=1)
    return log.replay().state.jobs["train"]


def _objects(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_the_manifest_lists_the_files_and_the_event_has_the_totals(
    work: Path, folder: Path
) -> None:
    results = write_manifest(_config(work, "out", "model.pth", "*.none"), folder)
    manifest = read_manifest(folder)
    assert [file.name for file in manifest.files] == ["model.pth", "out/a.csv"]
    assert manifest.unmatched == ("*.none",)
    assert (results.files, results.size) == (2, 11)
    assert results.sha256 == sha256((folder / NAME).read_bytes()).hexdigest()


def test_without_a_match_the_manifest_is_empty_and_names_the_patterns(
    work: Path, folder: Path
) -> None:
    results = write_manifest(_config(work, "*.none"), folder)
    assert (results.files, results.size) == (0, 0)
    assert read_manifest(folder).unmatched == ("*.none",)


def test_results_and_manifest_are_flushed_before_they_count(
    work: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_manifest(_config(work, "out", "model.pth"), folder)
    part = synced.pop(2)
    assert Path(part).match(f"{folder}/.{NAME}.*.part")
    assert synced == [str(work / "model.pth"), str(work / "out/a.csv"), str(folder)]


def test_results_logs_exit_code_and_metadata_are_stored_under_the_attempt(
    work: Path, folder: Path, root: Path
) -> None:
    state = _completed(_config(work, "out", "model.pth", "*.none"), folder)
    uploaded = publish(FolderStore(root), state)
    assert isinstance(uploaded, ResultsUploaded)
    assert (uploaded.files, uploaded.size, uploaded.unmatched) == (2, 11, ("*.none",))
    objects = _objects(root)
    prefix = "train/attempts/1.1/"
    assert objects.keys() == {
        prefix + name
        for name in (
            "stdout.log",
            "stderr.log",
            "exit_code",
            "metadata.json",
            "manifest.json",
            "results/out/a.csv",
            "results/model.pth",
        )
    }
    assert objects[prefix + "results/model.pth"] == b"weights"
    assert objects[prefix + "exit_code"] == b"0\n"
    assert uploaded.key == prefix + "manifest.json"
    assert uploaded.sha256 == sha256(objects[uploaded.key]).hexdigest()
    entry = msgspec.json.decode(objects[uploaded.key])["files"][0]
    assert entry["sha256"] == sha256(b"weights").hexdigest()


def test_links_and_empty_folders_are_listed_and_other_entries_are_named(
    work: Path, folder: Path, root: Path
) -> None:
    (work / "out/step1").mkdir()
    (work / "out/step1/w").write_bytes(b"1")
    (work / "out/latest").symlink_to("step1")
    (work / "out/void").mkdir()
    for number in range(12):
        (work / f"out/away{number:02}").symlink_to("/etc")
    state, store = _completed(_config(work, "out"), folder), FolderStore(root)
    uploaded = publish(store, state)
    assert uploaded is not None
    assert uploaded.files == 2
    assert uploaded.left_out[0] == "out/away00: a link to something outside the results"
    assert uploaded.left_out[10:] == ("and 2 more",)
    listed = msgspec.json.decode(_objects(root)[uploaded.key])
    assert listed["v"] == 2
    assert [(each["name"], each["target"]) for each in listed["links"]] == [("out/latest", "step1")]
    assert [each["name"] for each in listed["folders"]] == ["out/void"]
    state.uploaded = uploaded
    shutil.rmtree(work / "out")
    assert restore_results(store, state) == 2
    assert (work / "out/latest").readlink() == Path("step1")
    assert (work / "out/latest/w").read_bytes() == b"1"
    assert (work / "out/void").is_dir()


def test_publishing_again_after_a_crash_is_idempotent(work: Path, folder: Path, root: Path) -> None:
    state = _completed(_config(work, "out"), folder)
    first = publish(FolderStore(root), state)
    before = _objects(root)
    assert publish(FolderStore(root), state) == first
    assert _objects(root) == before


def test_a_foreign_object_at_a_results_key_is_not_accepted(
    work: Path, folder: Path, root: Path
) -> None:
    state = _completed(_config(work, "model.pth"), folder)
    for other in (b"WEIGHTS", b"longer weights"):
        there = root / "train/attempts/1.1/results/model.pth"
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(other)
        with pytest.raises(ResultFileLost, match=r"^taken: "):
            publish(FolderStore(root), state)


def test_results_beyond_the_limit_of_single_flushes_are_saved(
    work: Path, folder: Path, root: Path
) -> None:
    for number in range(250):
        (work / "out" / f"{number}.txt").write_text(str(number))
    state = _completed(_config(work, "out"), folder)
    uploaded = publish(FolderStore(root), state)
    assert uploaded is not None
    assert uploaded.files == 251
    assert _objects(root)["train/attempts/1.1/results/out/249.txt"] == b"249"


def test_the_logs_of_a_job_without_results_are_published(
    work: Path, folder: Path, root: Path
) -> None:
    assert publish(FolderStore(root), _completed(_config(work), folder)) is None
    assert _objects(root)["train/attempts/1.1/stdout.log"] == b"hello\n"


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_changed_result_fails_the_upload(work: Path, folder: Path, root: Path, how: str) -> None:
    state = _completed(_config(work, "out", "model.pth"), folder)
    if how == "gone":
        (work / "model.pth").unlink()
    else:
        (work / "model.pth").write_bytes(b"other weights")
    with pytest.raises(ResultFileLost, match=f"^{how}: .*model.pth"):
        publish(FolderStore(root), state)


def test_a_result_replaced_by_one_of_the_same_size_and_time_is_detected(
    work: Path, folder: Path, root: Path
) -> None:
    path = work / "model.pth"
    state = _completed(_config(work, "model.pth"), folder)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    (work / "new").write_bytes(b"WEIGHTS")
    (work / "new").replace(path)
    os.utime(path, ns=times)
    with pytest.raises(ResultFileLost, match=r"^changed: "):
        publish(FolderStore(root), state)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff"])
def test_without_a_valid_manifest_the_upload_fails_with_the_cause(
    work: Path, folder: Path, root: Path, content: bytes | None
) -> None:
    state = _completed(_config(work, "out"), folder)
    (folder / NAME).unlink()
    if content is not None:
        (folder / NAME).write_bytes(content)
    with pytest.raises((OSError, msgspec.DecodeError)):
        publish(FolderStore(root), state)


def test_bytes_of_a_changed_result_are_not_stored_under_its_key(
    work: Path, folder: Path, root: Path
) -> None:
    """Nothing is overwritten, so the first object at a key stays for ever."""
    state = _completed(_config(work, "model.pth"), folder)
    (work / "model.pth").write_bytes(b"half-written")
    with pytest.raises(ResultFileLost):
        publish(FolderStore(root), state)
    assert "train/attempts/1.1/results/model.pth" not in _objects(root)


def test_a_result_that_changes_while_it_is_read_is_not_stored(
    work: Path, folder: Path, root: Path
) -> None:
    state = _completed(_config(work, "model.pth"), folder)

    class Meanwhile(FolderStore):
        """Changes a result after its bytes were read, before it is accepted."""

        def put_file(
            self, key: str, source: Path, *, accept: Callable[[], None] | None = None
        ) -> tuple[int, str]:
            if accept is None:
                return super().put_file(key, source)
            same = accept

            def changed() -> None:
                source.write_bytes(b"half-written")
                same()

            return super().put_file(key, source, accept=changed)

    with pytest.raises(ResultFileLost, match="changed"):
        publish(Meanwhile(root), state)
    assert "train/attempts/1.1/results/model.pth" not in _objects(root)


def test_a_result_with_a_name_that_is_not_text_is_saved_and_restored(
    work: Path, folder: Path, root: Path
) -> None:
    strange = os.fsencode(work / "out") + b"/caf\xe9.csv"
    with open(strange, "wb") as file:
        file.write(b"1")
    (work / "out/plain").write_bytes(b"2")
    state, store = _completed(_config(work, "out"), folder), FolderStore(root)
    state.uploaded = publish(store, state)
    assert "train/attempts/1.1/results/out/caf\\xe9.csv" in _objects(root)
    shutil.rmtree(work / "out")
    restore_results(store, state)
    assert Path(os.fsdecode(strange)).read_bytes() == b"1"
    assert (work / "out/plain").read_bytes() == b"2"


def _readable_by_nobody(how: str) -> None:
    """Check, as an unprivileged user, that unreadable results are an error and not skipped."""
    root = public_folder()
    try:
        work, folder = root / "work", root / "attempt"
        (work / "out/secret").mkdir(parents=True)
        folder.mkdir()
        (work / "out/ok").write_bytes(b"1")
        (work / "out/secret/x").write_bytes(b"2")
        shut = work / "out/secret" if how == "folder" else work / "out/ok"
        config = _config(work, "out")
        if how == "folder":
            shut.chmod(0)
            with pytest.raises(PermissionError):
                write_manifest(config, folder)
        else:
            state = _completed(config, folder)
            shut.chmod(0)
            with pytest.raises(ResultFileLost, match=r"^unreadable: .*/out/ok"):
                publish(FolderStore(root / "objects"), state)
        shut.chmod(0o700)
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("how", ["file", "folder"])
def test_unreadable_results_are_named_and_not_skipped(how: str) -> None:
    def try_it() -> None:
        os.umask(0o022)
        _readable_by_nobody(how)

    assert unprivileged(try_it) == ""
