"""`verify` confirms a valid log, and names the first wrong event of an invalid one."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli import samples
from tests.cli.support import Home
from tests.cli.tampering import rechained, tamper
from tests.support import configs
from tests.support.logs import LogBuilder, owner, resumed, started, submission

from spawn.core.domain.events import JobBlocked, JobCompleted, QueueCompleted

ID = samples.QUEUE_ID
EVENTS = 5

Log = Callable[[LogBuilder], Path]


@pytest.fixture
def log(home: Home) -> Log:
    """Write a log to this machine."""

    def write(builder: LogBuilder) -> Path:
        home.queue(builder.queue_id).folder.mkdir(parents=True)
        return builder.write(home.queue(builder.queue_id).events)

    return write


def test_a_valid_log_is_reported_with_its_count_and_head(finished: Home) -> None:
    done = finished("queue", "verify", "bad")
    with closing(sqlite3.connect(finished.queue("bad").events)) as connection:
        (head,) = connection.execute("SELECT hex(hash) FROM events WHERE seq = 8").fetchone()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "bad: 8 events, hash chain intact, every transition legal\n"
        "Status: failed\n"
        f"Head: {head.lower()}\n"
    )


def test_the_log_rejects_changes_by_plain_sqlite(home: Home, log: Log) -> None:
    path = log(samples.training())
    with closing(sqlite3.connect(path)) as connection:
        for change in ("UPDATE events SET at = ''", "DELETE FROM events WHERE seq = 5"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                connection.execute(change)
    assert home("queue", "verify", ID).returncode == 0


CHANGES = {
    "a changed line": (
        "UPDATE events SET line = replace(line, '\"exit_code\":0', '\"exit_code\":1')"
        " WHERE seq = 4",
        "event 4 is not what was written",
    ),
    "one byte more": (
        "UPDATE events SET line = line || ' ' WHERE seq = 3",
        "event 3 is not what was written",
    ),
    "a changed hash": (
        "UPDATE events SET hash = zeroblob(32) WHERE seq = 2",
        "event 2 is not what was written",
    ),
    "an event that is gone": ("DELETE FROM events WHERE seq = 3", "event 3 is missing"),
    "a beginning that is gone": ("DELETE FROM events WHERE seq < 3", "event 1 is missing"),
    "an event put in": (
        "INSERT INTO events SELECT 6, type, job_id, at, line, hash FROM events WHERE seq = 5",
        "event 6 is not what was written",
    ),
    "an event before the first": (
        "INSERT INTO events SELECT 0, type, job_id, at, line, hash FROM events WHERE seq = 5",
        "found event 0 in place of event 1",
    ),
    "a changed type": (
        "UPDATE events SET type = 'JobFailed' WHERE seq = 4",
        "event 4",
    ),
    "a changed job": (
        "UPDATE events SET job_id = 'export' WHERE seq = 4",
        "event 4: column job_id does not match its line",
    ),
    "a job that is gone": (
        "UPDATE events SET job_id = NULL WHERE seq = 4",
        "event 4: column job_id does not match its line",
    ),
    "a changed time": (
        "UPDATE events SET at = '2026-01-28T00:00:00.000000Z' WHERE seq = 5",
        "event 5: column at does not match its line",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_first_wrong_event_is_named(home: Home, log: Log, change: str) -> None:
    statement, told = CHANGES[change]
    tamper(log(samples.training()), statement)
    done = home("queue", "verify", ID)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {told}")


FORGERIES = {
    "another exit code": (
        'UPDATE events SET line = replace(line, \'"exit_code":0\', \'"exit_code":"no"\')',
        "event 4 cannot be read",
    ),
    "another queue": (
        'UPDATE events SET line = replace(line, \'"queue_id":"queue-2\', \'"queue_id":"queue-3\')'
        " WHERE seq = 3",
        "event 3 does not belong here",
    ),
    "another order": (
        "UPDATE events SET line = replace(line, '\"seq\":4', '\"seq\":5')",
        "event 4 does not belong here",
    ),
    "a command that was not submitted": (
        "UPDATE events SET line = replace(line, 'python train.py', 'python other.py')",
        "the configuration's jobs do not match the submitted ones",
    ),
    "a line that is no JSON": (
        "UPDATE events SET line = 'nothing' WHERE seq = 5",
        "event 5",
    ),
    "a type from nowhere": (
        "UPDATE events SET type = 'JobTeleported',"
        " line = replace(line, 'JobCompleted', 'JobTeleported') WHERE seq = 4",
        "event 4",
    ),
}


@pytest.mark.parametrize(
    "forgery",
    FORGERIES,
)
def test_a_recomputed_chain_does_not_hide_invalid_events(
    home: Home, log: Log, forgery: str
) -> None:
    statement, told = FORGERIES[forgery]
    rechained(log(samples.training()), statement)
    done = home("queue", "verify", ID)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {told}")


def begun() -> LogBuilder:
    """A log of two jobs; the first is running."""
    builder = LogBuilder()
    builder.add(*submission(configs.queue(configs.job("a"), configs.job("b", "a"))))
    builder.queue(owner())
    builder.job("a", started("a"), attempt=1)
    return builder


def test_an_illegal_event_is_named_with_the_legal_ones(home: Home, log: Log) -> None:
    builder = begun()
    builder.job("a", started("a"), attempt=1)
    log(builder)
    done = home("queue", "verify", builder.queue_id)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: event 4: JobStarted is not legal for ")
    assert "legal here: " in done.stderr


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("a job before its dependency", lambda log: log.job("b", started("b"), attempt=1)),
        ("the end of another attempt", lambda log: log.job("a", JobCompleted(), attempt=2)),
        ("an end without an attempt", lambda log: log.job("b", JobCompleted(), attempt=1)),
        ("an end before its jobs'", lambda log: log.queue(QueueCompleted())),
        ("a second runner at the same epoch", lambda log: log.queue(resumed(), epoch=1)),
        ("a job that is not there", lambda log: log.job("c", started("c"), attempt=1)),
        ("a block without a failure", lambda log: log.job("b", JobBlocked(by="a"))),
    ],
)
def test_every_illegal_event_is_rejected(
    home: Home, log: Log, name: str, spoil: Callable[[LogBuilder], object]
) -> None:
    builder = begun()
    spoil(builder)
    log(builder)
    done = home("queue", "verify", builder.queue_id)
    assert (done.returncode, done.stdout) == (1, ""), name
    assert "event 4" in done.stderr


@pytest.mark.parametrize(
    ("command", "content"),
    [
        ("verify", "not a database"),
        ("status", "not a database"),
        ("history", "not a database"),
        ("verify", ""),
        ("status", ""),
        ("history", ""),
    ],
)
def test_a_file_that_is_not_a_log_gives_a_clear_error(
    home: Home, command: str, content: str
) -> None:
    home.queue("torn").folder.mkdir(parents=True)
    home.queue("torn").events.write_text(content * 1000)
    done = home("queue", command, "torn")
    assert (done.returncode, done.stdout) in [(1, ""), (3, "")]
    assert done.stderr.startswith("Error: ")
    assert "internal error" not in done.stderr


@pytest.mark.parametrize("command", ["verify", "status", "history", "list"])
def test_an_invalid_log_is_reported_without_a_traceback(home: Home, log: Log, command: str) -> None:
    tamper(log(samples.training()), CHANGES["a changed line"][0])
    done = home("queue", command, *([] if command == "list" else [ID]))
    assert "event 4 is not what was written" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["status", "history"])
def test_reading_commands_fail_on_a_changed_log(home: Home, log: Log, command: str) -> None:
    tamper(log(samples.training()), CHANGES["a changed line"][0])
    done = home("queue", command, ID)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: event 4 is not what was written")
