"""`status --at`: the state of a queue at a past moment, replayed from its log."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from tests.cli import samples
from tests.cli.support import Home, Json
from tests.support import configs
from tests.support.logs import LogBuilder, owner, started, submission
from tests.support.page import block

from spawn.cli.support import times
from spawn.core.domain.events import JobCompleted
from spawn.core.errors import InvalidArgument

ID = samples.QUEUE_ID


@pytest.fixture
def training(home: Home) -> Home:
    """A machine with the manual page's queue while `train` runs; its runner has died."""
    home.queue(ID).folder.mkdir(parents=True)
    samples.training().write(home.queue(ID).events)
    return home


def at(home: Home, moment: str) -> Json:
    return home.status(ID, "--at", moment)


def states(status: Json) -> dict[str, str]:
    return {job["job_id"]: job["status"] for job in status["job_details"]}


def test_at_the_manual_pages_moment_status_prints_the_manual_pages_text(training: Home) -> None:
    shown = training("queue", "status", ID, "--at", "2026-01-27T15:55:32").stdout.splitlines()
    page = block("Elapsed: 1h 23m").splitlines()
    same = [line for line in shown if line in page]
    assert [line for line in page if line not in shown] == [
        "Elapsed: 1h 23m",
        "    └─ Progress: Epoch 25/100 (25%)",
        "    └─ Time remaining: ~45m (est)",
        "  Recent Output:",
        "    [15:45:12] Epoch 25/100",
        "    [15:45:12] Train Loss: 0.234",
        "    [15:45:12] Val Loss: 0.256",
        "    [15:45:12] Accuracy: 89.3%",
        "Estimated Completion: 2026-01-27 17:30:00 PST (1h 15m)",
    ]
    assert [line for line in shown if line not in same] == [
        "As of: 2026-01-27 15:55:32 PST, in the past",
        "Elapsed: 1h 50m",
    ]
    assert shown.index("As of: 2026-01-27 15:55:32 PST, in the past") == 1
    assert at(training, "2026-01-27T15:55:32")["past"] is True
    why = training("queue", "why", ID, "train", "--at", "2026-01-27T15:55:32").stdout
    assert why.startswith("As of: 2026-01-27 15:55:32 PST, in the past\n")


def test_at_shows_the_state_in_the_middle_of_a_queue(training: Home) -> None:
    then = at(training, "2026-01-27T15:10:00")
    assert states(then) == {"preprocess": "running"} | dict.fromkeys(
        ("train", "evaluate", "export"), "pending"
    )
    assert then["elapsed"] == "1h4m"
    assert then["job_details"][0]["elapsed"] == "4m28s"
    assert then["job_details"][0]["pid"] == 12000
    assert then["as_of"] == "2026-01-27T15:10:00-08:00"
    assert "runner_alive" not in then


def test_at_includes_events_of_that_exact_moment(training: Home) -> None:
    assert states(at(training, "2026-01-27T15:21:04"))["train"] == "running"
    assert states(at(training, "2026-01-27T15:21:03"))["preprocess"] == "running"


def test_between_submission_and_start_every_job_is_pending(training: Home) -> None:
    then = at(training, "2026-01-27T14:05:31")
    assert (then["status"], then["jobs"]["pending"]) == ("pending", 4)
    assert "started_at" not in then


@pytest.mark.parametrize(
    "moment",
    ["2026-01-27 15:10", "2026-01-27T23:10:00Z", "2026-01-27T23:10:00+00:00", "20260127T151000"],
)
def test_at_accepts_a_moment_in_any_zone(training: Home, moment: str) -> None:
    assert at(training, moment)["as_of"] == "2026-01-27T15:10:00-08:00"


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "America/Sao_Paulo", "UTC"])
def test_at_accepts_the_times_that_history_prints(training: Home, zone: str) -> None:
    lines = training("queue", "history", ID, TZ=zone).stdout.splitlines()
    assert len(lines) == 5
    printed = [line[7:].partition("  ")[0] for line in lines]
    newest = None
    for text in printed[1:]:
        done = training("queue", "status", ID, "--at", text, TZ=zone)
        assert done.stdout.splitlines()[1] == f"As of: {text}, in the past", done
        newest = done.stdout
    assert newest is not None
    assert "▶ train" in newest


def test_the_zone_name_resolves_an_ambiguous_hour(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    time.tzset()
    try:
        now = datetime(2026, 1, 27, tzinfo=UTC)
        for text, hour in (("PDT", 8), ("PST", 9), ("UTC", 1)):
            found = times.parse_moment(f"2025-11-02 01:30:00 {text}", now)
            assert found.astimezone(UTC).replace(microsecond=0) == datetime(
                2025, 11, 2, hour, 30, tzinfo=UTC
            )
        with pytest.raises(InvalidArgument):
            times.parse_moment("2025-11-02 01:30:00 CET", now)
        assert times.parse_moment("9:05:03", now + timedelta(hours=20)).minute == 5
    finally:
        monkeypatch.undo()
        time.tzset()


def test_before_its_submission_a_queue_is_not_found(training: Home) -> None:
    for flags in ([], ["--json"]):
        done = training("queue", "status", ID, "--at", "2026-01-27T14:05:29", *flags)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == f"Error: queue {ID} was not submitted at that time\n"


@pytest.mark.parametrize("moment", ["2999-01-01", "2999-01-01T00:00:00Z"])
def test_a_future_moment_is_a_bad_argument(training: Home, moment: str) -> None:
    done = training("queue", "status", ID, "--at", moment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: --at {moment} is in the future\n"


@pytest.mark.parametrize(
    "moment", ["", "now", "25:00", "2026-13-01", "10 ago", "ago", "-5m ago", "999999d ago"]
)
def test_an_invalid_moment_is_rejected_with_examples(training: Home, moment: str) -> None:
    done = training("queue", "status", ID, f"--at={moment}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"Error: --at {moment} is not a time\n"
        "Hint: examples: 2026-01-27T15:04:05, 15:04 (today), '10m ago'\n"
    )


def test_ago_is_relative_to_now(home: Home) -> None:
    begun = datetime.now(UTC) - timedelta(hours=1)
    log = LogBuilder("recent", start=begun, step=timedelta(minutes=10))
    log.add(*submission(configs.queue(configs.job("a"))))
    log.queue(owner())
    log.job("a", started("a"), JobCompleted(exit_code=0, wall_seconds=600.0), attempt=1)
    home.queue("recent").folder.mkdir(parents=True)
    log.write(home.queue("recent").events)
    for ago, state in [("45m ago", "pending"), ("25m ago", "running"), ("5m ago", "completed")]:
        assert states(home.status("recent", "--at", ago)) == {"a": state}
