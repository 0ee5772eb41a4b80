"""The example pipeline, run for real through the command line."""

import json
import re

import pytest
from tests.cli.support import Home

JOBS = ["preprocess", "train", "evaluate", "export"]


def test_the_demo_completes_and_says_so_on_the_way(demo: Home) -> None:
    told = (demo.work / "run.out").read_text()
    assert (demo.work / "run.err").read_text() == ""
    for job in JOBS:
        assert re.search(rf"(?m)^\[[\d:]{{8}}\] ✓ {job}: attempt 1 completed after ", told)
    assert "Queue demo completed: 4 of 4 jobs completed in " in told


def test_the_demos_status_has_four_completed_jobs(demo: Home) -> None:
    text = demo("queue", "status", "local").stdout
    assert "\nStatus: completed\n" in text
    assert "\nJobs: 4 total, 4 completed\n" in text
    assert [line.split()[:3] for line in text.splitlines() if "Attempts: " in line] == [
        ["✓", job, "completed"] for job in JOBS
    ]
    status = demo.status("demo")
    assert (status["status"], status["jobs"]["completed"]) == ("completed", 4)
    assert [job["exit_code"] for job in status["job_details"]] == [0] * 4
    assert "warnings" not in status


@pytest.mark.parametrize("job", JOBS)
def test_the_demos_results_are_at_the_results_location(demo: Home, job: str) -> None:
    config = json.loads((demo.work / "pipeline.json").read_text())
    wanted = next(each["result_files"] for each in config["jobs"] if each["job_id"] == job)
    kept = demo.root / "state/objects/demo" / job / "attempts/1.1"
    assert demo.status("demo")["results_location"] == f"{demo.root}/state/objects/demo/"
    for name in ("stdout.log", "stderr.log", "exit_code", "metadata.json", "manifest.json"):
        assert (kept / name).exists(), name
    assert (kept / "exit_code").read_text().strip() == "0"
    for path in wanted:
        written = demo.work / path
        files = [written] if written.is_file() else [*written.iterdir()]
        assert files
        for file in files:
            copy = kept / "results" / file.relative_to(written.parent)
            assert copy.read_bytes() == file.read_bytes(), copy


def test_the_demos_log_holds(demo: Home) -> None:
    done = demo("queue", "verify", "demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the chain holds, every step is legal" in done.stdout


def test_the_demos_training_was_told_as_progress(demo: Home) -> None:
    log = (demo.root / "log/train.log").read_text()
    assert re.search(r"^\[\d\d:\d\d:\d\d\] Epoch 100/100$", log, re.MULTILINE)
