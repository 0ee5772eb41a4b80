"""The status, as text and as JSON, compared with reviewed files."""

import json
import re
from datetime import datetime
from typing import Any

import pytest
from msgspec import structs
from tests.cli import samples
from tests.cli.support import GOLDEN
from tests.support.page import block

from spawn.cli.output.status import render
from spawn.cli.output.style import PLAIN
from spawn.cli.output.watch_screen import screen
from spawn.core.reports.as_json import as_json
from spawn.core.reports.model import LiveData, Report
from spawn.core.reports.progress import from_output

FOLLOWS_FROM_NOW = {
    "Elapsed: 1h 23m": "Elapsed: 1h 50m",
    "    └─ Time remaining: ~45m (est)": "    └─ Time remaining: ~1h 43m (est)",
    "Estimated Completion: 2026-01-27 17:30:00 PST (1h 15m)": (
        "Estimated Completion: 2026-01-27 18:30:00 PST (2h 34m)"
    ),
}
"""Lines of the page that contradict its other times, and their consistent values."""

DURATION = re.compile(r"(?=.)(\d+d)?(\d+h)?(\d+m)?(\d+s)?")
DURATIONS = {
    "elapsed",
    "duration",
    "timeout",
    "timeout_remaining",
    "retry_in",
    "time_remaining",
}
MOMENTS = {"started_at", "ended_at", "submitted_at", "as_of", "retry_at", "estimated_completion"}
STATES = ("completed", "running", "pending", "failed", "retrying", "blocked")


reports = pytest.mark.parametrize(
    "report", [pytest.param(make(), id=name) for name, make in samples.ALL.items()]
)


def lines(report: Report) -> list[str]:
    return list(render(report, samples.ZONE))


def shaped(report: Report) -> dict[str, Any]:
    """The JSON, read back."""
    read: dict[str, Any] = json.loads(json.dumps(as_json(report, samples.ZONE)))
    return read


def page_json() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(block('"elapsed": "1h23m"'))
    return read


def objects(value: Any) -> list[dict[str, Any]]:
    """Return every object in a JSON value."""
    if isinstance(value, list):
        return [found for item in value for found in objects(item)]
    if isinstance(value, dict):
        return [value, *(found for item in value.values() for found in objects(item))]
    return []


@pytest.mark.parametrize(
    "name",
    [name for name in samples.ALL if name != "beginning"],
)
def test_the_status_text_is_the_golden_text(name: str) -> None:
    golden = GOLDEN / ("status.txt" if name == "running" else f"status_{name}.txt")
    assert lines(samples.ALL[name]()) == golden.read_text().splitlines()


def test_the_status_text_is_exactly_the_manual_pages() -> None:
    page = block("Elapsed: 1h 23m").splitlines()
    assert FOLLOWS_FROM_NOW.keys() <= set(page)
    expected = [FOLLOWS_FROM_NOW.get(line, line) for line in page]
    assert lines(samples.running())[: len(page)] == expected


def test_the_golden_text_has_the_manual_pages_layout() -> None:
    def shape(text: str) -> list[str]:
        return re.sub(r"\d+", "0", re.sub(r"\b(\d+[dhms] ?)+\b", "0s", text)).splitlines()

    page = shape(block("Elapsed: 1h 23m"))
    assert shape((GOLDEN / "status.txt").read_text())[: len(page)] == page


@pytest.mark.parametrize("name", ["running", "failed", "retrying"])
def test_the_status_json_is_the_golden_json(name: str) -> None:
    golden = GOLDEN / ("status.json" if name == "running" else f"status_{name}.json")
    text = json.dumps(as_json(samples.ALL[name](), samples.ZONE), indent=2, ensure_ascii=False)
    assert text.splitlines() == golden.read_text().splitlines()


def test_the_json_has_the_manual_pages_keys_first() -> None:
    page, ours = page_json(), shaped(samples.running())
    pairs = [(page, ours), (page["jobs"], ours["jobs"])]
    pairs += zip(page["job_details"], ours["job_details"], strict=False)
    for theirs, mine in pairs:
        assert list(mine)[: len(theirs)] == list(theirs)
        types = {key: type(value) for key, value in theirs.items()}
        assert {key: type(mine[key]) for key in theirs} == types


def test_the_json_has_the_manual_pages_values_where_those_are_consistent() -> None:
    page, ours = page_json(), shaped(samples.running())
    details = [
        {key: mine[key] for key in theirs}
        for theirs, mine in zip(page["job_details"], ours["job_details"], strict=False)
    ]
    assert details == page["job_details"]
    assert {key: ours["jobs"][key] for key in page["jobs"]} == page["jobs"]
    rest = page.keys() - {"jobs", "job_details", "elapsed", "estimated_completion"}
    assert {key: ours[key] for key in rest} == {key: page[key] for key in rest}
    assert (ours["elapsed"], ours["estimated_completion"]) == ("1h50m", "2026-01-27T18:30:00-08:00")


@reports
def test_json_durations_are_compact_and_times_have_whole_seconds_and_an_offset(
    report: Report,
) -> None:
    for found in objects(shaped(report)):
        for key in DURATIONS & found.keys():
            assert DURATION.fullmatch(found[key]), (key, found[key])
        for key in (key for key in MOMENTS if found.get(key) is not None):
            assert re.fullmatch(r"2026-01-27T\d\d:\d\d:\d\d-08:00", found[key]), key
            datetime.fromisoformat(found[key])


@reports
def test_the_six_states_sum_to_the_total(report: Report) -> None:
    ours = shaped(report)
    assert list(ours["jobs"]) == ["total", *STATES]
    assert sum(ours["jobs"][state] for state in STATES) == ours["jobs"]["total"]
    for state in STATES:
        listed = [job for job in ours["job_details"] if job["status"] == state]
        assert len(listed) == ours["jobs"][state]


@reports
def test_the_json_omits_unknown_values(report: Report) -> None:
    ours = shaped(report)
    assert "estimated_completion" in ours, "the manual page always has it"
    if ours["estimated_completion"] is None:
        del ours["estimated_completion"]
    assert all(None not in found.values() for found in objects(ours))


@reports
def test_the_attempts_column_is_aligned(report: Report) -> None:
    rows = [line for line in lines(report) if " Attempts: " in line]
    assert len(rows) == len(report.jobs)
    assert len({row.index("Attempts: ") for row in rows}) == 1, "\n".join(rows)


@reports
def test_the_text_has_no_consecutive_or_trailing_blank_lines(report: Report) -> None:
    text = "\n".join(lines(report))
    assert "\n\n\n" not in text
    assert text == text.rstrip()


@reports
@pytest.mark.parametrize("height", [8, 12, 16, 24, 60])
def test_the_live_view_is_never_taller_than_its_terminal(report: Report, height: int) -> None:
    assert len(screen(report, samples.ZONE, PLAIN, width=80, height=height)) <= height


@reports
@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("longer", ["", "-of-a-model-with-quite-a-long-name"])
def test_the_live_view_shows_full_attempt_counts_at_any_width(
    report: Report, width: int, longer: str
) -> None:
    jobs = tuple(
        structs.replace(
            job,
            config=structs.replace(job.config, job_id=f"{job.job_id}{longer}"),
            blocked_by=tuple(f"{each}{longer}" for each in job.blocked_by),
        )
        for job in report.jobs
    )
    report = structs.replace(report, jobs=jobs)
    drawn = screen(report, samples.ZONE, PLAIN, width=width, height=60)
    for job in report.jobs:
        start = f" {job.job_id[:12]}"
        (row,) = (line for line in drawn if start in line[:20] and job.status in line)
        assert len(row) <= width
        assert re.search(rf" {job.attempts}/{job.max_attempts}( |$)", row), row


@reports
def test_the_live_view_shows_every_running_and_failed_job_in_24_lines(report: Report) -> None:
    drawn = screen(report, samples.ZONE, PLAIN, width=80, height=24)
    for job in report.jobs:
        if job.status in ("running", "failed"):
            assert any(f" {job.job_id} " in line for line in drawn), job.job_id


def test_the_estimate_of_a_resumed_job_starts_at_its_attempts_first_progress() -> None:
    newest = from_output(["Epoch 95/100"])
    assert newest is not None
    progress = structs.replace(newest, base=0.90)
    report = samples.training().report(live={"train": LiveData(progress=progress)})
    train = report.jobs[1]
    assert train.elapsed == 2068
    assert train.time_remaining == pytest.approx(2068)
    unknown = structs.replace(progress, base=progress.fraction)
    report = samples.training().report(live={"train": LiveData(progress=unknown)})
    assert report.jobs[1].time_remaining is None
    assert report.estimated_completion is None


def test_completion_is_estimated_once_all_running_jobs_have_an_estimate() -> None:
    live = {"train": LiveData(progress=from_output(["Epoch 50/100"]))}
    report = samples.training().report(live=live, earlier={"export": 600.0})
    (line,) = (each for each in lines(report) if each.startswith("Estimated Completion: "))
    assert line == (
        "Estimated Completion: 2026-01-27 16:40:00 PST (44m 28s), without evaluate "
        "(duration unknown)"
    )
    ours = shaped(report)
    assert ours["estimated_completion"] == "2026-01-27T16:40:00-08:00"
    assert ours["estimated_without"] == ["evaluate"]
    assert (
        shaped(samples.training().report(earlier={"export": 600.0}))["estimated_completion"] is None
    )


def test_without_a_runner_a_ready_job_waits_for_one() -> None:
    report = structs.replace(samples.parallel(), runner_alive=False)
    (line,) = (each for each in lines(report) if each.startswith("  ⏸ clean "))
    assert "Waiting: a runner" in line
