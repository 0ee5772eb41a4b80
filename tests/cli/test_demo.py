"""`make demo`: the example pipeline, run by the real command line."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from tests.cli.conftest import Demo

JOBS = ["preprocess", "train", "evaluate", "export"]


def test_the_demo_prints_its_progress_and_completes(demo: Demo) -> None:
    for job in JOBS:
        assert re.search(rf"(?m)^\[[\d:]{{8}}\] ✓ {job}: attempt 1 completed after ", demo.told)
    assert f"Queue {demo.queue} completed: 4 of 4 jobs completed in " in demo.told


def test_the_demo_ends_with_the_paths_of_its_files(demo: Demo) -> None:
    results = f"{demo.home.root}/state/objects/{demo.queue}/"
    shown, _, rest = demo.told.partition("Results, by job:\n")[2].partition("\n\n")
    assert rest.splitlines()[0] == f"They are in {results}"
    files = [line.removeprefix("  ") for line in shown.splitlines()]
    assert {file.partition("/")[0] for file in files} == set(JOBS)
    assert all(Path(results, file).is_file() for file in files)


def test_the_demos_status_has_four_completed_jobs(demo: Demo) -> None:
    text = demo.home("queue", "status", "local").stdout
    assert text in demo.told
    assert "\nStatus: completed\n" in text
    assert "\nJobs: 4 total, 4 completed\n" in text
    assert [line.split()[:3] for line in text.splitlines() if "Attempts: " in line] == [
        ["✓", job, "completed"] for job in JOBS
    ]
    status = demo.home.status(demo.queue)
    assert (status["status"], status["jobs"]["completed"]) == ("completed", 4)
    assert [job["exit_code"] for job in status["job_details"]] == [0] * 4
    assert "warnings" not in status


@pytest.mark.parametrize("job", JOBS)
def test_the_demos_results_are_at_the_results_location(demo: Demo, job: str) -> None:
    work = demo.home.work
    config = json.loads((work / "pipeline.json").read_text())
    wanted = next(each["result_files"] for each in config["jobs"] if each["job_id"] == job)
    place = f"{demo.home.root}/state/objects/{demo.queue}/"
    assert demo.home.status(demo.queue)["results_location"] == place
    kept = Path(place, job, "attempts/1.1")
    for name in ("stdout.log", "stderr.log", "exit_code", "metadata.json", "manifest.json"):
        assert (kept / name).exists(), name
    assert (kept / "exit_code").read_text().strip() == "0"
    for path in wanted:
        written = work / path
        files = [written] if written.is_file() else [*written.iterdir()]
        assert files
        for file in files:
            copy = kept / "results" / file.relative_to(written.parent)
            assert copy.read_bytes() == file.read_bytes(), copy


def test_the_demos_log_verifies(demo: Demo) -> None:
    done = demo.home("queue", "verify", demo.queue)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hash chain intact, every transition legal" in done.stdout


def test_the_demos_training_is_shown_as_progress(demo: Demo) -> None:
    log = (demo.home.root / "log/train.log").read_text()
    assert re.search(r"^\[\d\d:\d\d:\d\d\] Epoch 100/100$", log, re.MULTILINE)


def test_make_demo_runs_this_demo() -> None:
    root = Path(__file__).parents[2]
    command = ["make", "-C", str(root), "--no-print-directory", "-n", "-o", ".venv/.ready", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "examples/pipeline/demo .venv/bin/spawn\n"
