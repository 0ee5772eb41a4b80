"""The event log as a file: append-only, and readable by any process."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.configs import chain
from tests.support.legal import Seeded, driven
from tests.support.logs import QUEUE_ID, LogBuilder, running, started
from tests.support.users import public_folder, unprivileged

from spawn.core.domain.events import JobCompleted
from spawn.core.errors import CorruptLog, LogConflict, QueueNotFound
from spawn.store.log import read
from spawn.store.log.write import LogWriter

OK = JobCompleted(exit_code=0)
COUNT = f"""
import sys
from pathlib import Path
from spawn.store.log import read
print(read.replay(Path(sys.argv[1]), {QUEUE_ID!r}).seq)
"""


def _log() -> LogBuilder:
    log = running(chain(2))
    log.job("j0", started("j0"), OK, attempt=1)
    return log


def _rows(path: Path) -> list[tuple[object, ...]]:
    with read.open_log(path) as connection:
        return list(read.rows(connection))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of a log to create."""
    return tmp_path / "events.db"


def test_appended_events_are_read_back_byte_for_byte(path: Path) -> None:
    log = driven(Seeded(4)).log
    with LogWriter(path) as writer:
        writer.append(log.entries[:3], expected_seq=1)
        for entry in log.entries[3:]:
            writer.append([entry], expected_seq=entry[0].seq)
    assert _rows(path) == log.rows
    assert read.replay(path, QUEUE_ID).state == log.replay().state


def test_appending_continues_after_the_log_is_reopened(path: Path) -> None:
    log = _log()
    for entry in log.entries:
        with LogWriter(path) as writer:
            writer.append([entry], expected_seq=entry[0].seq)
    assert _rows(path) == log.rows


def test_rows_can_be_read_after_a_seq_and_the_newest_seq_alone(path: Path) -> None:
    log = _log()
    log.write(path)
    with read.open_log(path) as connection:
        assert list(read.rows(connection, after=2)) == log.rows[2:]
        assert list(read.rows(connection, after=99)) == []
        assert read.head(connection) == log.seq


def test_an_empty_log_has_head_0_and_is_not_a_queue(path: Path) -> None:
    LogWriter(path).close()
    with read.open_log(path) as connection:
        assert read.head(connection) == 0
    with pytest.raises(QueueNotFound, match="was not submitted"):
        read.replay(path, QUEUE_ID)


@pytest.mark.parametrize("wrong", [1, 2, 4, 9])
def test_an_append_with_a_wrong_expected_seq_writes_nothing(path: Path, wrong: int) -> None:
    log = _log()
    with LogWriter(path) as writer:
        writer.append(log.entries[:2], expected_seq=1)
        with pytest.raises(LogConflict):
            writer.append([log.entries[wrong - 1 if wrong < 5 else 3]], expected_seq=wrong)
        assert len(_rows(path)) == 2
        writer.append(log.entries[2:], expected_seq=3)
    assert _rows(path) == log.rows


def test_events_with_a_gap_in_their_seqs_are_not_written(path: Path) -> None:
    log = _log()
    with LogWriter(path) as writer:
        for entries in ([log.entries[0], log.entries[2]], [log.entries[1], log.entries[0]]):
            with pytest.raises(LogConflict):
                writer.append(entries, expected_seq=1)
    assert _rows(path) == []


def test_the_second_of_two_writers_is_rejected(path: Path) -> None:
    log = _log()
    with LogWriter(path) as first, LogWriter(path) as second:
        first.append(log.entries[:2], expected_seq=1)
        with pytest.raises(LogConflict, match="at seq 2, not 0"):
            second.append(log.entries[:1], expected_seq=1)
        second.append(log.entries[2:], expected_seq=3)
        with pytest.raises(LogConflict):
            first.append(log.entries[2:3], expected_seq=3)
    assert _rows(path) == log.rows


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET line = '{}' WHERE seq = 1",
        "UPDATE events SET seq = 99 WHERE seq = 4",
        "DELETE FROM events WHERE seq = 4",
        "DELETE FROM events",
        "REPLACE INTO events SELECT seq, type, job_id, at, '{}', hash FROM events WHERE seq = 4",
    ],
)
def test_triggers_block_sql_updates_and_deletes(path: Path, statement: str) -> None:
    log = _log()
    log.write(path)
    with closing(sqlite3.connect(path)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match=r"never|in order"):
            connection.execute(statement)
        connection.rollback()
    assert _rows(path) == log.rows


def test_a_hash_of_another_length_is_refused(path: Path) -> None:
    log = _log()
    event, line, _ = log.entries[0]
    with LogWriter(path) as writer, pytest.raises(LogConflict):
        writer.append([(event, line, b"short")], expected_seq=1)
    assert _rows(path) == []


def test_another_process_sees_only_committed_events(path: Path) -> None:
    log = _log()
    log.write(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO events SELECT seq + 1, type, job_id, at, line, hash FROM events"
            " ORDER BY seq DESC LIMIT 1"
        )
        assert _seq_elsewhere(path) == log.seq
        connection.execute("ROLLBACK")
    (event,) = log.job("j1", started("j1"), attempt=1)
    with LogWriter(path) as writer:
        writer.append(log.entries[-1:], expected_seq=event.seq)
        assert _seq_elsewhere(path) == event.seq


def _seq_elsewhere(path: Path) -> int:
    command = [sys.executable, "-c", COUNT, str(path)]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def test_a_reader_sees_a_snapshot_of_the_log(path: Path) -> None:
    log = _log()
    log.write(path)
    with read.open_log(path) as connection:
        rows = read.rows(connection)
        seen = [next(rows)]
        log.job("j1", started("j1"), attempt=1)
        with LogWriter(path) as writer:
            writer.append(log.entries[-1:], expected_seq=log.seq)
            # Closing waits in vain for the reader.
            driver = writer._connection.connection.driver_connection
            assert driver is not None
            driver.execute("PRAGMA busy_timeout = 100")
        seen += rows
        assert seen == log.rows[:-1]
        assert list(read.rows(connection, after=log.seq - 1)) == log.rows[-1:]


def test_a_closed_log_is_one_file(path: Path) -> None:
    _log().write(path)
    with LogWriter(path) as writer:
        assert writer
    assert [file.name for file in path.parent.iterdir()] == ["events.db"]


def test_every_commit_is_synced_to_the_disk(path: Path) -> None:
    """WAL with synchronous=FULL (2): a commit that has returned survives power loss."""
    from spawn.store.log.write import _connect

    with closing(_connect(path)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs sqlite3")
def test_plain_sqlite3_reads_the_log(path: Path) -> None:
    log = _log()
    with LogWriter(path) as writer:
        writer.append(log.entries, expected_seq=1)
        assert _sqlite3(path, "SELECT seq, type, job_id, attempt, epoch FROM history") == [
            "1|QueueSubmitted|||0",
            "2|QueueStarted|||1",
            "3|JobStarted|j0|1|1",
            "4|JobCompleted|j0|1|1",
        ]
    assert _sqlite3(path, "SELECT job_id, seq, type FROM latest") == ["j0|4|JobCompleted"]
    assert _sqlite3(path, "SELECT data FROM history WHERE seq = 4") == ['{"exit_code":0}']
    assert _sqlite3(path, "SELECT hash FROM history WHERE seq = 4") == [log.rows[3][3].hex()]
    assert _sqlite3(path, "SELECT line FROM events WHERE seq = 4") == [log.rows[3][2].decode()]


def _sqlite3(path: Path, query: str) -> list[str]:
    command = ["sqlite3", "-readonly", str(path), query]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "content",
    [b"not a database\n" * 1000, b"SQLite format 3\0" + b"\xff" * 5000],
    ids=["text", "a torn header"],
)
def test_a_file_that_is_not_a_database_is_corrupt_to_readers_and_writers(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    with pytest.raises(CorruptLog):
        read.replay(path, QUEUE_ID)
    with pytest.raises(CorruptLog):
        LogWriter(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_not_a_log(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    with pytest.raises(CorruptLog):
        read.replay(path, QUEUE_ID)
    with pytest.raises(CorruptLog, match="is not an event log"):
        LogWriter(path)


def test_an_empty_file_is_not_a_queue_to_readers_and_a_new_log_to_writers(path: Path) -> None:
    path.touch()
    with pytest.raises(QueueNotFound, match="never submitted"):
        read.replay(path, QUEUE_ID)
    LogWriter(path).close()
    assert _rows(path) == []


def test_reading_a_missing_log_does_not_create_it(path: Path) -> None:
    with pytest.raises(QueueNotFound):
        read.replay(path, QUEUE_ID)
    assert not path.exists()


def test_a_path_may_have_special_characters_of_uris(tmp_path: Path) -> None:
    folder = tmp_path / "50% of #1 & more?x=[1] é"
    folder.mkdir()
    log = _log()
    log.write(folder / "events.db")
    assert _rows(folder / "events.db") == log.rows


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users may enter and read."""
    folder = public_folder()
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_log_in_a_read_only_folder_can_be_read(shared: Path) -> None:
    path, log = shared / "events.db", _log()
    log.write(path)
    shared.chmod(0o555)
    assert unprivileged(lambda: _same(path, log)) == ""


def test_other_users_can_read_a_log_while_its_runner_writes(shared: Path) -> None:
    path, log = shared / "events.db", _log()
    with LogWriter(path) as writer:
        writer.append(log.entries, expected_seq=1)
        shared.chmod(0o555)
        assert unprivileged(lambda: _same(path, log)) == ""
        shared.chmod(0o755)


def _same(path: Path, log: LogBuilder) -> None:
    assert _rows(path) == log.rows
