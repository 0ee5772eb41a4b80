"""`history`: the audit trail as text, and as the exact stored lines."""

import json
import sqlite3
from contextlib import closing

import pytest
from tests.cli import samples
from tests.cli.support import Home
from tests.cli.tampering import rechained

from spawn.core.domain.events import JobCompleted, RequestRefused
from spawn.core.values.timestamps import format_timestamp

KINDS = [
    "QueueSubmitted",
    "QueueStarted",
    "JobStarted",
    "JobCompleted",
    "JobStarted",
    "JobFailed",
    "JobBlocked",
    "QueueFailed",
]


def stored(home: Home, queue_id: str) -> list[str]:
    with closing(sqlite3.connect(home.queue(queue_id).events)) as connection:
        return [line for (line,) in connection.execute("SELECT line FROM events ORDER BY seq")]


def test_json_lines_are_exactly_the_stored_lines(finished: Home) -> None:
    printed = finished("queue", "history", "bad", "--json").stdout
    assert printed == "".join(f"{line}\n" for line in stored(finished, "bad"))
    assert [json.loads(line)["type"] for line in printed.splitlines()] == KINDS


def test_json_lines_of_a_job_are_its_stored_lines(finished: Home) -> None:
    printed = finished("queue", "history", "bad", "--job", "count", "--json").stdout.splitlines()
    assert printed == [
        line for line in stored(finished, "bad") if json.loads(line).get("job_id") == "count"
    ]
    assert len(printed) == 2


def test_a_line_has_time_subject_event_and_cause(home: Home) -> None:
    home.queue(samples.QUEUE_ID).folder.mkdir(parents=True)
    log = samples.training()
    log.write(home.queue(samples.QUEUE_ID).events)
    assert home("queue", "history", "local").stdout.splitlines() == [
        "    1  2026-01-27 14:05:30 PST  queue            submitted: 4 jobs from queue.json",
        "    2  2026-01-27 14:05:32 PST  queue            "
        "started by ana@ip-10-0-0-1, pid 1000, spawn 0.1.0",
        "    3  2026-01-27 15:05:32 PST  preprocess       attempt 1 started, pid 12000",
        "    4  2026-01-27 15:21:04 PST  preprocess       attempt 1 completed after 15m 32s",
        "    5  2026-01-27 15:21:04 PST  train            attempt 1 started, pid 12345",
    ]


def test_an_end_recorded_late_is_shown_with_its_real_time(home: Home) -> None:
    home.queue(samples.QUEUE_ID).folder.mkdir(parents=True)
    log = samples.training()
    ended = format_timestamp(samples.moment("15:30:04"))
    end = JobCompleted(exit_code=0, wall_seconds=540.0, ended_at=ended)
    log.at("16:21:04", end, job="train")
    log.write(home.queue(samples.QUEUE_ID).events)
    newest = home("queue", "history", "local").stdout.splitlines()[-1]
    assert newest.endswith(
        "attempt 1 completed after 9m; the command ended at 2026-01-27 15:30:04 PST"
    )
    (details,) = [job for job in home.status()["job_details"] if job["job_id"] == "train"]
    assert (details["started_at"], details["duration"], details["ended_at"]) == (
        "2026-01-27T15:21:04-08:00",
        "9m",
        "2026-01-27T15:30:04-08:00",
    )
    page = home("queue", "report", "local", "--output", "-")
    assert "15:21:04 to 15:30:04, 9m" in page.stdout


def test_the_history_of_a_job_has_only_its_lines(finished: Home) -> None:
    whole = finished("queue", "history", "bad").stdout.splitlines()
    part = finished("queue", "history", "bad", "--job", "count").stdout.splitlines()
    assert part == [line for line in whole if line.split()[4] == "count"]
    assert len(part) == 2
    assert "no retry: no attempts left (1 of 1)" in part[1]


def test_an_unknown_job_is_reported_with_the_closest_name(finished: Home) -> None:
    done = finished("queue", "history", "bad", "--job", "cuont")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: queue bad has no job 'cuont'\nHint: did you mean 'count'?\n"


def test_json_lines_include_notes_of_unknown_types(home: Home) -> None:
    path = home.queue(samples.QUEUE_ID).events
    path.parent.mkdir(parents=True)
    log = samples.training()
    log.queue(RequestRefused(request="reset x", why="there is no such job"))
    log.write(path)
    rechained(
        path,
        "UPDATE events SET type = 'NewNote',"
        " line = replace(line, 'RequestRefused', 'NewNote') WHERE seq = 6",
    )
    assert home("queue", "verify", "local").returncode == 0
    printed = home("queue", "history", "local", "--json").stdout.splitlines()
    assert printed == stored(home, samples.QUEUE_ID)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_local_means_the_newest_queue(finished: Home, flags: list[str]) -> None:
    local = finished("queue", "history", "local", *flags).stdout
    assert local == finished("queue", "history", "bad", *flags).stdout
