"""Any damage to a log's bytes is detected."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.configs import chain
from tests.support.legal import Seeded, driven
from tests.support.logs import QUEUE_ID, LogBuilder, Record, record, running, started
from tests.support.soak import scaled

from spawn.core.domain import chain as hashes
from spawn.core.domain.events import JobCompleted, RequestRefused
from spawn.core.errors import CorruptLog, QueueNotFound, SpawnError
from spawn.store.log import read
from spawn.store.log.ledger import Ledger
from spawn.store.log.verify import verify

LOG = driven(Seeded(11), actions=250).log
COLUMNS = ("seq", "type", "job_id", "at", "line", "hash")
Execute = Callable[[str, tuple[object, ...]], object]


class Copies:
    """Fresh copies of a valid log, to be damaged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = map(str, count())
        self.good = LOG.write(folder / "good.db").read_bytes()
        with closing(sqlite3.connect(folder / "good.db")) as connection:
            connection.execute("DROP TRIGGER events_are_never_updated")
            connection.execute("DROP TRIGGER events_are_never_deleted")
            connection.commit()
        self._unguarded = (folder / "good.db").read_bytes()

    def of(self, content: bytes) -> Path:
        """Create a file with this content."""
        path = self._folder / next(self._names)
        path.write_bytes(content)
        return path

    def with_sql(self, *statements: tuple[str, tuple[object, ...]]) -> Path:
        """Create a copy that has been changed with SQL, without the triggers."""
        path = self.of(self._unguarded)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            for statement, values in statements:
                connection.execute(statement, values)
            connection.commit()
        return path


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Copies:
    """Fresh copies of the valid log."""
    return Copies(tmp_path_factory.mktemp("damage"))


def test_an_unchanged_log_verifies(copies: Copies) -> None:
    verified = verify(copies.of(copies.good), QUEUE_ID)
    assert verified.events == LOG.seq > 50
    assert verified.hash == LOG.rows[-1][3].hex()
    assert verified.state == LOG.replay().state


def test_a_missing_or_empty_log_is_not_a_queue(tmp_path: Path) -> None:
    for path in (tmp_path / "none.db", LogBuilder().write(tmp_path / "empty.db")):
        with pytest.raises(QueueNotFound):
            verify(path, QUEUE_ID)


@settings(max_examples=scaled(75, 300), deadline=None)
@given(data=st.data())
def test_a_flipped_bit_in_any_column_of_any_row_is_located(
    copies: Copies, data: st.DataObject
) -> None:
    seq = data.draw(st.integers(1, LOG.seq))
    column = data.draw(st.sampled_from(COLUMNS))
    value = dict(zip(COLUMNS, record(LOG.entries[seq - 1]), strict=True))[column]
    if isinstance(value, int):
        flipped: object = value ^ 1 << data.draw(st.integers(0, 40))
        assume(not 1 <= flipped <= LOG.seq)  # type: ignore[operator]
        change = "?"
    elif value is None:
        flipped, change = data.draw(st.sampled_from(["", "j0", "null"])), "?"
    else:
        old = value if isinstance(value, bytes) else value.encode()
        flipped = flip(old, data.draw(st.integers(0, 8 * len(old) - 1)))
        change = "?" if isinstance(value, bytes) else "CAST(? AS TEXT)"
    update = f"UPDATE events SET {column} = {change} WHERE seq = ?"
    path = copies.with_sql((update, (flipped, seq)))
    with pytest.raises(CorruptLog) as caught:
        verify(path, QUEUE_ID)
    assert caught.value.seq == (1 if flipped == 0 else seq), "the new first event is wrong there"


@settings(max_examples=scaled(100, 400), deadline=None)
@given(data=st.data())
def test_a_log_file_with_a_flipped_bit_is_corrupt_or_unchanged(
    copies: Copies, data: st.DataObject
) -> None:
    bit = data.draw(st.integers(0, 8 * len(copies.good) - 1))
    path = copies.of(flip(copies.good, bit))
    try:
        verify(path, QUEUE_ID)
    except (CorruptLog, QueueNotFound):  # not detected: see the test of a schema that looks empty
        return
    finally:
        _reads_or_refuses(path)
    assert _columns(path) == _expected(LOG)


@pytest.mark.parametrize("reader", [read.replay, verify, Ledger])
def test_a_log_with_a_seemingly_empty_schema_is_corrupt_and_not_new(
    copies: Copies, reader: Callable[[Path, str], object]
) -> None:
    """With one bit of the first page's header flipped, SQLite finds no table in 20 pages."""
    content = bytearray(copies.good)
    assert 0 < int.from_bytes(content[103:105]) < 16
    content[103:105] = bytes(2)
    path = copies.of(bytes(content))
    with pytest.raises(CorruptLog):
        reader(path, QUEUE_ID)
    assert path.read_bytes() == content


@settings(max_examples=scaled(25, 60), deadline=None)
@given(data=st.data())
def test_a_log_file_with_a_zeroed_part_is_corrupt_or_unchanged(
    copies: Copies, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(copies.good) // 512 - 1)) * 512
    path = copies.of(copies.good[:start] + bytes(512) + copies.good[start + 512 :])
    try:
        verify(path, QUEUE_ID)
    except (CorruptLog, QueueNotFound):
        return
    finally:
        _reads_or_refuses(path)
    assert _columns(path) == _expected(LOG)


@settings(max_examples=scaled(25, 60), deadline=None)
@given(data=st.data())
def test_a_truncated_log_file_is_corrupt(copies: Copies, data: st.DataObject) -> None:
    size = data.draw(st.integers(2, len(copies.good) - 1))  # 0 and 1: new files to SQLite
    with pytest.raises(CorruptLog):
        verify(copies.of(copies.good[:size]), QUEUE_ID)


def _reads_or_refuses(path: Path) -> None:
    """Readers that do not verify either read the log or raise a clear error."""
    with suppress(SpawnError):
        read.replay(path, QUEUE_ID)


@pytest.mark.parametrize("line", [None, 7, 1.5])
def test_a_row_whose_line_is_not_text_is_corrupt(tmp_path: Path, line: object) -> None:
    """One bit in the file can change the type of any column's value."""
    path = tmp_path / "events.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE events (seq INTEGER, type, job_id, at, line, hash)")
        connection.execute(
            "INSERT INTO events VALUES (1, 'QueueSubmitted', NULL, '', ?, zeroblob(32))", (line,)
        )
        connection.commit()
    for reader in (read.replay, verify):
        with pytest.raises(CorruptLog):
            reader(path, QUEUE_ID)


def test_a_schema_that_is_not_text_is_corrupt(copies: Copies) -> None:
    content = copies.good.replace(b"CREATE VIEW history", b"CREATE VI\xc5W history")
    for reader in (read.replay, verify):
        with pytest.raises(CorruptLog):
            reader(copies.of(content), QUEUE_ID)


@settings(max_examples=30, deadline=None)
@given(seq=st.integers(1, LOG.seq - 1))
def test_a_missing_event_is_named(copies: Copies, seq: int) -> None:
    path = copies.with_sql(("DELETE FROM events WHERE seq = ?", (seq,)))
    with pytest.raises(CorruptLog, match=f"event {seq} is missing") as caught:
        verify(path, QUEUE_ID)
    assert caught.value.seq == seq


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_swapped_events_are_detected(copies: Copies, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, LOG.seq - 1))
    second = data.draw(st.integers(first + 1, LOG.seq))
    path = copies.with_sql(
        ("UPDATE events SET seq = -1 WHERE seq = ?", (first,)),
        ("UPDATE events SET seq = ? WHERE seq = ?", (first, second)),
        ("UPDATE events SET seq = ? WHERE seq = -1", (second,)),
    )
    with pytest.raises(CorruptLog) as caught:
        verify(path, QUEUE_ID)
    assert caught.value.seq == first


def test_a_log_without_its_newest_events_is_a_valid_shorter_log(copies: Copies) -> None:
    """The file alone does not show it; a copy, or the noted hash of the head, does."""
    path = copies.with_sql(("DELETE FROM events WHERE seq > ?", (LOG.seq - 5,)))
    assert verify(path, QUEUE_ID).hash == LOG.rows[-6][3].hex()


def test_a_log_of_another_queue_is_corrupt_at_its_first_event(copies: Copies) -> None:
    with pytest.raises(CorruptLog) as caught:
        verify(copies.of(copies.good), "another")
    assert caught.value.seq == 1


def test_events_rewritten_with_a_recomputed_chain_must_be_legal(tmp_path: Path) -> None:
    log = running(chain(2))
    log.job("j1", started("j1"), JobCompleted(exit_code=0), attempt=1)
    with pytest.raises(CorruptLog) as caught:
        verify(log.write(tmp_path / "events.db"), QUEUE_ID)
    assert caught.value.seq == 3


def test_a_configuration_that_does_not_match_its_hash_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    log = running(chain(2))
    records = _rewritten(log, lambda line: line.replace(b"run j1", b"run j2"))
    LogBuilder().write(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", records)
        connection.commit()
    with pytest.raises(CorruptLog, match="configuration"):
        verify(path, QUEUE_ID)


@pytest.mark.parametrize("reader", ["read.replay", "verify"])
def test_an_error_prints_nothing_else_on_stderr(copies: Copies, reader: str) -> None:
    """No `Exception ignored in: <generator object rows>` on stderr."""
    path = copies.with_sql(("UPDATE events SET line = '{}' WHERE seq = 2", ()))
    code = f"""
import sys
from pathlib import Path
from spawn.core.errors import CorruptLog
from spawn.store.log import read
from spawn.store.log.ledger import Ledger
from spawn.store.log.verify import verify
try:
    {reader}(Path(sys.argv[1]), {QUEUE_ID!r})
except CorruptLog as error:
    print(error.seq)
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True)
    assert done.stdout == b"2\n"
    assert done.stderr == b""


@pytest.mark.parametrize("column", ["type", "job_id", "at"])
def test_a_changed_column_of_an_unknown_note_is_detected(tmp_path: Path, column: str) -> None:
    log = running(chain(1))
    log.queue(RequestRefused(request="reset x", why="no"))
    records = _rewritten(log, lambda line: line.replace(b"RequestRefused", b"RequestPraised"))
    path = tmp_path / "events.db"
    LogBuilder().write(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", records)
        connection.execute("DROP TRIGGER events_are_never_updated")
        connection.execute("UPDATE events SET type = 'RequestPraised' WHERE seq = 3")
        connection.commit()
        assert verify(path, QUEUE_ID).events == 3
        connection.execute(f"UPDATE events SET {column} = 'x' WHERE seq = 3")
        connection.commit()
    with pytest.raises(CorruptLog):
        verify(path, QUEUE_ID)


def flip(data: bytes, bit: int) -> bytes:
    """Return the bytes with one bit flipped."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _rewritten(log: LogBuilder, change: Callable[[bytes], bytes]) -> list[Record]:
    """Return the log with changed lines and a recomputed chain."""
    records, hash_ = [], hashes.genesis(log.queue_id)
    for entry in log.entries:
        seq, type_, job_id, at, line, _ = record(entry)
        changed = change(line.encode())
        hash_ = hashes.next_hash(hash_, changed)
        records.append((seq, type_, job_id, at, changed.decode(), hash_))
    return records


def _columns(path: Path) -> list[read.Columns]:
    with read.open_log(path) as connection:
        return list(read.columns(connection))


def _expected(log: LogBuilder) -> list[tuple[object, ...]]:
    return [
        tuple(value.encode() if isinstance(value, str) else value for value in record(entry))
        for entry in log.entries
    ]
