"""Results that a job declares, and how they are saved."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.support.queues import SECONDS, Queue, World, job

from spawn.store.failpoints import VARIABLE


def kept(queue: Queue, job_id: str) -> Path:
    """Return the folder of a job's first attempt in the object store."""
    owner = queue.state.owner
    assert owner is not None
    return Path(owner.results_location) / job_id / "attempts" / "1.1"


def results(queue: Queue, job_id: str = "a") -> dict[str, str]:
    """Return a job's results in the object store by name."""
    folder = kept(queue, job_id) / "results"
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in folder.rglob("*")
        if file.is_file()
    }


def manifest(queue: Queue, job_id: str = "a") -> Any:
    """Return a job's manifest in the object store."""
    return json.loads((kept(queue, job_id) / "manifest.json").read_bytes())


def test_results_are_saved_with_their_sizes_and_hashes(world: World) -> None:
    queue = world.queue(
        job(
            "a",
            "mkdir -p out/deep/er; echo 1 > out/one.csv; echo 22 > out/deep/er/two.csv;"
            " echo no > out/three.txt; chmod 750 out/one.csv",
            result_files=["out/**/*.csv"],
        ),
    )
    assert queue.run().code == 0
    assert results(queue) == {"one.csv": "1\n", "two.csv": "22\n"}
    assert queue.types("a") == ["JobStarted", "JobCompleted", "ResultsUploaded"]
    listed = manifest(queue)
    one = next(file for file in listed["files"] if file["name"] == "one.csv")
    assert one["path"] == str(world.work / "out" / "one.csv")
    assert (one["size"], one["mode"]) == (2, 0o750)
    assert one["sha256"] == hashlib.sha256(b"1\n").hexdigest()
    uploaded = queue.data("a", "ResultsUploaded")
    assert (uploaded.files, uploaded.size) == (2, 5)
    body = (kept(queue, "a") / "manifest.json").read_bytes()
    assert uploaded.sha256 == hashlib.sha256(body).hexdigest()


def test_a_folder_stands_for_all_its_files(world: World) -> None:
    queue = world.queue(
        job(
            "a",
            "mkdir -p out/sub out/void; echo 1 > out/x; echo 2 > out/sub/.y; ln -s x out/here;"
            " ln -s sub out/latest; ln -s /etc/passwd out/away; mkfifo out/fifo",
            result_files=["out"],
        )
    )
    assert queue.run().code == 0
    assert results(queue) == {"out/x": "1\n", "out/sub/.y": "2\n", "out/here": "1\n"}
    left_out = ["out/away: a link to something outside the results", "out/fifo: a FIFO"]
    assert world.status()["warnings"] == [f"a: not kept: {each}" for each in left_out]
    assert f"not kept: {', '.join(left_out)}" in world.spawn("history", "q").out
    for _ in range(2):
        done = world.spawn("results", "q", "-o", str(world.folder / "there"))
        assert done.code == 0, done.err
        assert "out/latest -> sub" in done.out
    there = world.folder / "there/a/results/out"
    assert (there / "latest").readlink() == Path("sub")
    assert (there / "latest/.y").read_text() == "2\n"
    assert list((there / "void").iterdir()) == []


def test_files_with_one_name_are_distinguished_by_their_folders(world: World) -> None:
    queue = world.queue(
        job(
            "a",
            "mkdir -p r/a r/b; echo a > r/a/x.txt; echo b > r/b/x.txt; echo c > r/b/y.txt",
            result_files=["r/*/x.txt", "r/b/y.txt"],
        )
    )
    assert queue.run().code == 0
    assert results(queue) == {"a/x.txt": "a\n", "b/x.txt": "b\n", "y.txt": "c\n"}


def test_a_pattern_without_a_match_is_a_warning(world: World) -> None:
    queue = world.queue(job("a", "echo 1 > x", result_files=["x", "nothing-*", "/no/where"]))
    finished = queue.run()
    assert finished.code == 0
    assert queue.data("a", "ResultsUploaded").unmatched == ("nothing-*", "/no/where")
    assert "no file matches result 'nothing-*'" in finished.out
    assert manifest(queue)["unmatched"] == ["nothing-*", "/no/where"]


def test_a_failed_attempt_has_no_results(world: World) -> None:
    queue = world.queue(job("a", "echo 1 > x; exit 1", result_files=["x"]))
    assert queue.run().code == 1
    assert queue.types("a") == ["JobStarted", "JobFailed"]
    assert not (kept(queue, "a") / "results").exists()
    assert (kept(queue, "a") / "exit_code").read_text() == "1\n"


def test_a_dependent_starts_after_the_results_are_saved(world: World) -> None:
    queue = world.queue(
        job("a", "head -c 20000000 /dev/zero > big", result_files=["big"]),
        job("b", "true", "a"),
    )
    assert queue.run().code == 0
    seq = {(event.type, event.job_id): event.seq for event in queue.events()}
    assert seq["ResultsUploaded", "a"] < seq["JobStarted", "b"]


def listed_and_not_sent(world: World, command: str, **fields: Any) -> Queue:
    """A queue whose only job has completed, and whose runner died before uploading any result."""
    world.override_constant("spawn.runner.transfers.publisher.PERMANENT_ERROR_PAUSES", [0.1, 0.4])
    queue = world.queue(job("a", command, **fields))
    world.environ[VARIABLE] = f"publisher.logs:1:{world.folder / 'counter'}"
    queue.start().communicate(timeout=2 * SECONDS)
    del world.environ[VARIABLE]
    assert queue.types("a") == ["JobStarted", "JobCompleted"]
    assert not (kept(queue, "a") / "results").exists()
    return queue


def test_a_result_that_changes_before_its_upload_fails_the_queue(world: World) -> None:
    queue = listed_and_not_sent(world, "echo 1 > x", result_files=["x"])
    path = world.work / "x"
    path.write_text("22\n")
    finished = queue.resume()
    assert finished.code == 1
    assert queue.data("a", "ResultsUploadFailed").error.startswith(f"changed: {path}")
    assert (queue.state.state, queue.state.reason) == ("failed", "results")
    assert "changed" in finished.out
    assert queue.executed() == [("a", 1)]


def test_a_result_that_is_deleted_before_its_upload_fails_the_queue(world: World) -> None:
    queue = listed_and_not_sent(world, "echo 1 > x; echo 1 > last", result_files=["x", "last"])
    (world.work / "last").unlink()
    assert queue.resume().code == 1
    assert queue.data("a", "ResultsUploadFailed").error == f"gone: {world.work / 'last'}"
    assert queue.state.jobs["a"].state == "completed"


@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        pytest.param(r"mkdir out; touch $'out/caf\xe9'", "out/*", id="a name that is no text"),
        pytest.param(
            "mkdir d; ln -s . d/l1; ln -s . d/l2; ln -s . d/l3; echo 1 > d/x.txt",
            "d/**/*.txt",
            id="links in circles",
        ),
    ],
)
def test_special_files_among_results_do_not_block_the_queue(
    world: World, command: str, pattern: str
) -> None:
    queue = world.queue(job("a", command, result_files=[pattern]), job("b", "true"))
    queue.detach()
    started = queue.wait_executing("a")
    queue.wait_over("a")
    try:
        queue.wait_for("JobCompleted", "a")
    finally:
        if not queue.state.ended:
            os.kill(queue.runner(), 9)
    assert started.pid


def test_a_result_may_have_an_unusual_name(world: World) -> None:
    queue = world.queue(
        job(
            "a",
            r"""mkdir out; echo 1 > 'out/a b'; echo 2 > $'out/new\nline'; echo 3 > 'out/é"*?[x]'""",
            result_files=["out/*"],
        )
    )
    assert queue.run().code == 0
    assert results(queue) == {"a b": "1\n", "new\nline": "2\n", 'é"*?[x]': "3\n"}
