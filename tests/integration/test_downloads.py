"""`results` downloads the files of a queue completely or fails."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.queues import Finished, Queue, World, job, retry, until

from spawn.store.results.download_object import write_all


def _results(queue: Queue, *flags: str) -> Finished:
    return queue.world.spawn("results", queue.queue_id, *flags)


def _pipeline(world: World) -> Queue:
    make = "mkdir -p out/ck; seq 40000 > out/model; chmod 755 out/model; echo 1 > out/ck/1; "
    queue = world.queue(
        job("train", make + "echo hi; echo oh >&2", result_files=["out/model", "out/ck"]),
        job("test", "echo tested; exit 3", "train"),
        job("export", "true", "test"),
    )
    assert queue.run().code == 1
    return queue


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.cold
def test_results_are_downloaded_as_documented(world: World) -> None:
    queue = _pipeline(world)
    done = _results(queue)
    folder = world.folder / "results" / "q"
    assert done.code == 0
    said = re.sub(r"Time: \d+ seconds?", "Time: N seconds", done.out)
    assert said.splitlines() == [
        "Downloading results for queue: q",
        "",
        f"Source: {world.roots.objects}/q/",
        "Destination: ./results/q/",
        "",
        "Jobs:",
        said.splitlines()[6],
        "    ├─ stdout.log (3 B)",
        "    ├─ stderr.log (3 B)",
        "    └─ results/",
        "        ├─ model (224 KB)",
        "        └─ ck/ (2 B)",
        "",
        said.splitlines()[13],
        "    ├─ stdout.log (7 B)",
        "    └─ stderr.log (0 B)",
        "",
        said.splitlines()[17],
        "Time: N seconds",
        "",
        "Results saved to: ./results/q/",
    ]
    assert said.splitlines()[6].startswith("  ✓ train (22")
    assert said.splitlines()[13].startswith("  ✗ test (")
    assert said.splitlines()[17].startswith("Total downloaded: 22")
    assert done.err == "Nothing to download yet: export (blocked)\n"
    found = _tree(folder)
    assert sorted(found) == [
        "test/exit_code",
        "test/metadata.json",
        "test/stderr.log",
        "test/stdout.log",
        "train/exit_code",
        "train/metadata.json",
        "train/results/ck/1",
        "train/results/model",
        "train/stderr.log",
        "train/stdout.log",
    ]
    assert found["test/exit_code"] == b"3\n"
    assert found["train/results/model"] == (world.work / "out/model").read_bytes()
    assert os.access(folder / "train/results/model", os.X_OK)
    assert json.loads(found["test/metadata.json"])["status"] == "failed"


@pytest.mark.parametrize(
    ("flag", "kinds"),
    [("--logs-only", {"stdout.log", "stderr.log"}), ("--no-logs", {"results"})],
)
def test_logs_or_results_alone_include_exit_code_and_metadata(
    world: World, flag: str, kinds: set[str]
) -> None:
    queue = _pipeline(world)
    assert _results(queue, flag, "--job", "train", "-o", "D").code == 0
    assert {path.name for path in (world.folder / "D/train").iterdir()} == {
        *kinds,
        "exit_code",
        "metadata.json",
    }
    assert [path.name for path in (world.folder / "D").iterdir()] == ["train"]


def test_invalid_options_are_rejected(world: World) -> None:
    queue = _pipeline(world)
    (world.folder / "file").write_text("")
    for flags, hint in (
        (("--logs-only", "--no-logs"), "exclude each other"),
        (("--job", "tran"), "did you mean 'train'?"),
        (("-o", "file"), "is not a folder"),
    ):
        refused = _results(queue, *flags)
        assert (refused.code, hint in refused.err) == (2, True), refused.err
    assert world.spawn("results", "nobody").code == 3
    assert not (world.folder / "results").exists()


def test_an_interrupted_download_resumes(world: World) -> None:
    queue = _pipeline(world)
    assert _results(queue).code == 0
    model = world.folder / "results/q/train/results/model"
    before = model.stat().st_ino
    (world.folder / "results/q/train/results/ck/1").unlink()
    again = _results(queue)
    assert again.code == 0
    assert "Already there: 1 file" in again.out
    assert model.stat().st_ino == before
    assert (world.folder / "results/q/train/results/ck/1").read_text() == "1\n"


def test_a_changed_object_is_named_and_not_downloaded(world: World) -> None:
    queue = _pipeline(world)
    kept = world.roots.objects / "q/train/attempts/1.1/results/model"
    kept.chmod(0o644)
    kept.write_bytes(b"x" + kept.read_bytes()[1:])
    done = _results(queue)
    assert done.code == 1
    assert "train/results/model: its contents do not match the log" in done.err
    assert not (world.folder / "results/q/train/results/model").exists()
    assert (world.folder / "results/q/train/results/ck/1").exists()
    assert list((world.folder / "results").rglob("*.part")) == []


def test_a_changed_manifest_is_rejected(world: World) -> None:
    queue = _pipeline(world)
    kept = world.roots.objects / "q/train/attempts/1.1/manifest.json"
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes().replace(b"model", b"m0del"))
    done = _results(queue)
    assert done.code == 1
    assert "manifest.json: the list of results does not match the log" in done.err
    assert "model (224 KB) (unverified)" in done.out


def test_a_missing_object_is_an_error_and_an_extra_one_is_marked(world: World) -> None:
    queue = _pipeline(world)
    kept = world.roots.objects / "q/train/attempts/1.1/results"
    (kept / "model").unlink()
    (kept / "stray").write_text("x")
    done = _results(queue)
    assert done.code == 1
    assert "train/results/model: it is not in the object store" in done.err
    assert "stray (1 B) (unverified)" in done.out


def test_nothing_is_written_through_a_link(world: World) -> None:
    queue = _pipeline(world)
    outside = world.folder / "outside"
    outside.mkdir()
    (world.folder / "results/q/train").mkdir(parents=True)
    (world.folder / "results/q/train/results").symlink_to(outside)
    done = _results(queue)
    assert done.code == 1
    assert "is in the way" in done.err
    assert list(outside.iterdir()) == []


def test_an_output_folder_that_cannot_be_created_is_reported(world: World) -> None:
    queue = _pipeline(world)
    (world.folder / "file").write_text("")
    done = _results(queue, "-o", "file/D")
    assert (done.code, "Not a directory" in done.err) == (1, True)
    assert "Traceback" not in done.err


def test_a_running_queue_gives_the_results_so_far(world: World) -> None:
    queue = world.queue(job("a", "echo a"), job("b", until("go"), "a"))
    queue.detach()
    queue.wait_executing("b")
    queue.until(
        (world.roots.objects / "q/a/attempts/1.1/metadata.json").exists, "its files are kept"
    )
    done = _results(queue)
    assert (done.code, done.err) == (0, "Nothing to download yet: b (running)\n")
    world.release("go")
    queue.wait_for("QueueCompleted")


def test_a_queue_without_results_yet_is_an_error(world: World) -> None:
    queue = world.queue(job("a", until("go")), job("b", "true", "a"))
    queue.detach()
    queue.wait_executing("a")
    for flags in ((), ("--job", "b")):
        done = _results(queue, *flags)
        assert done.code == 1
        assert "queue q has nothing to download yet" in done.err
        assert "`spawn queue wait q`" in done.err
        assert "saved" not in done.out
    assert "a (running), b (pending)" in _results(queue).err
    assert not (world.folder / "results").exists()
    world.release("go")
    queue.wait_for("QueueCompleted")


def test_logs_of_a_failed_attempt_are_available_while_the_next_one_runs(
    world: World,
) -> None:
    queue = world.queue(
        job(
            "a",
            f"echo attempt $JOB_ATTEMPT; [ $JOB_ATTEMPT = 1 ] && exit 3; {until('go')}",
            retry=retry(2),
        )
    )
    queue.detach()
    queue.wait_executing("a", 2)
    queue.until(
        (world.roots.objects / "q/a/attempts/1.1/metadata.json").exists, "its files are kept"
    )
    done = _results(queue)
    folder = world.folder / "results" / "q" / "a"
    assert done.code == 0
    assert "From the previous attempt, because a new one is running: a (attempt 1)" in done.err
    assert (folder / "stdout.log").read_text() == "attempt 1\n"
    assert (folder / "exit_code").read_text() == "3\n"
    nothing = _results(queue, "--no-logs")
    assert (nothing.code, "nothing to download yet" in nothing.err) == (1, True)
    world.release("go")
    queue.wait_for("QueueCompleted")
    queue.wait_idle()
    assert _results(queue).code == 0
    assert (folder / "stdout.log").read_text() == "attempt 2\n"


def test_a_closed_output_pipe_is_not_an_error(world: World) -> None:
    _pipeline(world)
    process = world.start("results", "q", wrapper=("sh", "-c", '"$@" | head -1', "sh"))
    out, err = process.communicate(timeout=30)
    assert (out, "Traceback" in err) == ("Downloading results for queue: q\n", False)


def test_a_reader_that_stops_early_does_not_stop_the_download(world: World) -> None:
    queue = _pipeline(world)
    spawn = Path(sys.executable).with_name("spawn")
    command = f"{spawn} queue results {queue.queue_id} -o D | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        env={name: value for name, value in world.environ.items() if name != "BASH_ENV"},
        cwd=world.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Error" in done.stderr) == (0, False), done.stderr
    there = _tree(world.folder / "D")
    assert there["train/results/model"] == (world.work / "out/model").read_bytes()
    assert "test/exit_code" in there, "0 means that every file was downloaded"


def test_a_full_disk_behind_stdout_is_not_reported_for_the_files(world: World) -> None:
    _pipeline(world)
    with open("/dev/full", "w") as full:
        process = world.start("results", "q", "-o", "D", stdout=full)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err == "Error: stdout cannot be written: No space left on device\n"


def test_a_disk_that_fills_up_leaves_no_truncated_log(tmp_path: Path) -> None:
    size = 300_000
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("no disk can be mounted")
    try:
        fd = os.open(disk / "x", os.O_RDWR | os.O_CREAT)
        with pytest.raises(OSError, match="No space"):
            write_all(fd, b"x" * 2 * size, 0)
        os.close(fd)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
