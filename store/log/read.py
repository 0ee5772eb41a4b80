"""Read an event log with plain `sqlite3`: SQLAlchemy takes 300 ms to import."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from spawn.core.domain.codec import decode
from spawn.core.domain.events import JobStarted, QueueStarted
from spawn.core.domain.replay import Replay, Row
from spawn.core.errors import CorruptLog, QueueNotFound, SpawnError
from spawn.store.log import head as notes
from spawn.store.log import replica_progress

_ROWS = "SELECT seq, type, line, hash FROM events WHERE seq > ? ORDER BY seq"
_COLUMNS = "SELECT seq, type, job_id, at, line, hash FROM events ORDER BY seq"
_OWNER = (
    "SELECT line FROM events WHERE type IN ('QueueStarted', 'QueueResumed')"
    " ORDER BY seq DESC LIMIT 1"
)

_HASH = "SELECT hash FROM events WHERE seq = ?"
_STARTS = "SELECT type, line FROM events WHERE type = 'JobStarted' AND job_id = ? ORDER BY seq"
_MOVE = (
    "SELECT type FROM events WHERE type IN ('QueueStarted', 'QueueResumed', 'QueueInterrupted',"
    " 'QueueCompleted', 'QueueFailed') ORDER BY seq DESC LIMIT 1"
)

NEWBORN_BYTES = 4096
"""Maximum size of a log without a schema. A larger one has lost its schema."""

Columns = tuple[int, bytes, bytes | None, bytes, bytes, bytes]
"""`(seq, type, job_id, at, line, hash)`, text as stored bytes."""


@contextmanager
def open_log(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a log for reading. Text columns are returned as stored bytes.

    Raises:
        QueueNotFound: The log does not exist or was never written to.
        CorruptLog: SQLite cannot read the file, now or in the `with` block, or all events are lost.
    """
    written = notes.newest_noted_seq(path)  # before the log is read
    try:
        exists = expect_files(path)
        if not exists and written:
            raise CorruptLog(f"the event log {path} is gone", why=f"it had {written} events")
        if not exists:
            raise QueueNotFound(f"there is no event log at {path}")
        with closing(_connect(path)) as connection:
            _expect_events(connection, path, written)
            yield connection
    except CorruptLog as error:
        hint = f"{path} was truncated or modified; {restore_hint(path)}"
        raise error.with_default_hint(hint) from error
    except (sqlite3.Error, UnicodeDecodeError) as error:  # messages may quote damaged bytes
        raise CorruptLog(
            f"the event log {path} cannot be read", why=str(error), hint=restore_hint(path)
        ) from error


def restore_hint(path: Path) -> str:
    """A hint with the command that restores a damaged log."""
    return f"`spawn queue resume {path.parent.name}` restores it from its copy"


def expect_files(path: Path) -> bool:
    """Check that a database and its companions are regular files; returns whether it exists.

    Raises:
        CorruptLog: One is not a regular file. SQLite would block on a FIFO.
    """
    for each in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
        if each.exists() and not each.is_file():
            raise CorruptLog(
                "the event log cannot be read",
                why=f"{each} is not a regular file",
                hint="restore it from a copy",
            )
    return path.exists()


def rows(connection: sqlite3.Connection, after: int = 0) -> Iterator[Row]:
    """The events after seq `after`, in order, one at a time."""
    return connection.execute(_ROWS, (after,))


def columns(connection: sqlite3.Connection) -> Iterator[Columns]:
    """Every event with its columns, to compare them with its line."""
    return connection.execute(_COLUMNS)


def head(connection: sqlite3.Connection) -> int:
    """The newest seq; 0 for an empty log."""
    (seq,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
    return int(seq)


def is_empty(path: Path) -> bool:
    """Whether a log certainly has no events; False for an unreadable log."""
    try:
        with open_log(path) as connection:
            return not head(connection)
    except QueueNotFound:
        return True
    except (CorruptLog, OSError):
        return False


def newest_owner(connection: sqlite3.Connection) -> QueueStarted | None:
    """The event that started the newest epoch, unverified; None before the first.

    Raises:
        UnreadableEvent: This version does not know the event.
    """
    row = connection.execute(_OWNER).fetchone()
    event = None if row is None else decode(row[0])
    return event.data if event and isinstance(event.data, QueueStarted) else None


def copy_location(path: Path) -> tuple[str, str | None] | None:
    """The location of a log's copy, and its region if known; None if there is none.

    The source is the log, or a note of its last runner if the log is unreadable.
    """
    with suppress(SpawnError), open_log(path) as connection:
        found = newest_owner(connection)
        if found is not None:
            return found.results_location, found.region
    noted = replica_progress.load_progress(path.parent)
    return None if noted is None else (noted.location, None)


def hash_at(connection: sqlite3.Connection, seq: int) -> bytes | None:
    """The stored chain hash up to an event; None if there is no such event."""
    row = connection.execute(_HASH, (seq,)).fetchone()
    return None if row is None else bytes(row[0])


def attempt_start(connection: sqlite3.Connection, job_id: str, attempt: int) -> JobStarted | None:
    """The event that started an attempt, unverified; None if there is none.

    Raises:
        UnreadableEvent: This version does not know the event.
    """
    for type_, line in connection.execute(_STARTS, (job_id,)):
        event = decode(line, type_)
        if event is not None and event.attempt == attempt and isinstance(event.data, JobStarted):
            return event.data
    return None


def tokens(connection: sqlite3.Connection) -> set[str]:
    """The tokens of all started attempts."""
    lines = connection.execute("SELECT line FROM events WHERE type = 'JobStarted'")
    events = (decode(line, b"JobStarted") for (line,) in lines)
    return {event.data.token for event in events if event and isinstance(event.data, JobStarted)}


def last_transition(connection: sqlite3.Connection) -> str | None:
    """The type of the event that last changed the queue's state; None before the first."""
    row = connection.execute(_MOVE).fetchone()
    return None if row is None else row[0].decode()


def replay(path: Path, queue_id: str, *, until: str | None = None) -> Replay:
    """Replay a log from its beginning.

    Args:
        until: A timestamp; later events are ignored.

    Raises:
        QueueNotFound: The log does not exist or has no events.
        CorruptLog: Names the first invalid event.
    """
    fold = Replay(queue_id)
    with open_log(path) as connection:
        fold.feed(rows(connection), until=until)
    if fold.empty:
        raise QueueNotFound(f"queue {queue_id} was not submitted" + (" yet" if until else ""))
    return fold


def _expect_events(connection: sqlite3.Connection, path: Path, written: int) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not tables and (written or path.stat().st_size > NEWBORN_BYTES):
        raise CorruptLog(f"the event log {path} is damaged", why="its schema is missing")
    if not tables:
        raise QueueNotFound(f"the event log {path} is empty", why="its queue was never submitted")
    if b"events" not in tables:
        raise CorruptLog(f"{path} is not an event log")
    if written and not head(connection):
        raise CorruptLog(f"the event log {path} is empty", why=f"it had {written} events")


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?mode=ro"
    connection = sqlite3.connect(uri, uri=True)
    connection.text_factory = bytes
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1")
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        # In WAL mode SQLite needs a -shm file, which it cannot create in a read-only folder.
        # Without a -wal file there is nothing to share.
        connection = sqlite3.connect(uri + "&immutable=1", uri=True)
        connection.text_factory = bytes
    return connection
