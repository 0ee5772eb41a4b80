"""The last lines of a job's output, from any of its files."""

from pathlib import Path

import pytest
from msgspec import structs
from tests.support.configs import job
from tests.support.logs import started

from spawn.core.domain.state import JobState
from spawn.store.queue_dir.output import is_kept_raw_alone, last_lines


@pytest.fixture
def attempt(tmp_path: Path) -> JobState:
    """An attempt with three lines on stdout, two on stderr, and no combined log."""
    folder = tmp_path / "attempt-1.abc"
    folder.mkdir()
    (folder / "stdout.log").write_text("o1\no2\no3\n")
    (folder / "stderr.log").write_text("e1\ne2\n")
    began = structs.replace(
        started("a"), folder=str(folder), log_file=str(tmp_path / "a.log"), log_offset=4
    )
    return JobState(config=job("a"), index=0, started=began)


def test_the_combined_log_is_read_from_the_attempts_offset(attempt: JobState) -> None:
    Path(attempt.log_file).write_text("old\n[10:00:00] new\n")
    assert last_lines(attempt, 10) == ("[10:00:00] new",)
    assert not is_kept_raw_alone(attempt)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (10, ("o1", "o2", "o3", "e1", "e2")),
        (4, ("o2", "o3", "e1", "e2")),
        (3, ("o3", "e1", "e2")),
        (1, ("e2",)),
    ],
)
def test_without_a_combined_log_both_streams_are_read(
    attempt: JobState, lines: int, expected: tuple[str, ...]
) -> None:
    assert last_lines(attempt, lines) == expected
    assert is_kept_raw_alone(attempt)


def test_a_log_without_output_of_the_attempt_is_ignored(attempt: JobState) -> None:
    Path(attempt.log_file).write_text("old\n")
    assert last_lines(attempt, 2) == ("o3", "e2")


def test_a_single_stream_gets_all_lines(attempt: JobState) -> None:
    (Path(attempt.folder) / "stdout.log").write_text("")
    assert last_lines(attempt, 2) == ("e1", "e2")
    (Path(attempt.folder) / "stdout.log").write_text("o1\no2\no3\n")
    (Path(attempt.folder) / "stderr.log").write_text("")
    assert last_lines(attempt, 2) == ("o2", "o3")


def test_a_missing_attempt_has_no_lines(tmp_path: Path) -> None:
    away = structs.replace(started("a"), folder=str(tmp_path / "gone"), log_file="/no/a.log")
    attempt = JobState(config=job("a"), index=0, started=away)
    assert last_lines(attempt, 5) == ()
    assert not is_kept_raw_alone(attempt)
    assert last_lines(JobState(config=job("a"), index=0), 5) == ()
