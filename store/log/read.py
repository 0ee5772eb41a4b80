"""Read an event log without SQLAlchemy, which costs 300 ms to import. The one place that does."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from spawn.core.codec import decode
from spawn.core.errors import CorruptLog, QueueNotFound, SpawnError
from spawn.core.events import JobStarted, QueueStarted
from spawn.core.replay import Replay, Row
from spawn.store import lag
from spawn.store.log import head as notes

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
"""What a log has before its schema, and one that has lost it has more."""

Columns = tuple[int, bytes, bytes | None, bytes, bytes, bytes]
"""`(seq, type, job_id, at, line, hash)`, text as the bytes that are stored."""


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a log for reading; text comes as bytes, exactly as stored.

    Raises:
        QueueNotFound: There is no log, or one that nothing was ever written to.
        CorruptLog: SQLite cannot make sense of the file, also while it is read in the `with`. Or
            all events are gone from it.
    """
    written = notes.newest(path)  # before the log is looked at
    try:
        there = expect_files(path)
        if not there and written:
            raise CorruptLog(f"the event log {path} is gone", why=f"it had {written} events")
        if not there:
            raise QueueNotFound(f"there is no event log at {path}")
        with closing(_connect(path)) as connection:
            _expect_events(connection, path, written)
            yield connection
    except CorruptLog as error:
        error.hint = error.hint or f"{path} was cut or changed; {restored_by(path)}"
        raise
    except (sqlite3.Error, UnicodeDecodeError) as error:  # its messages may quote the damage
        raise CorruptLog(
            f"the event log {path} cannot be read", why=str(error), hint=restored_by(path)
        ) from error


def restored_by(path: Path) -> str:
    """The command that restores a damaged log, as a hint."""
    return f"`spawn queue resume {path.parent.name}` restores it from its copy"


def expect_files(path: Path) -> bool:
    """See that SQLite will open files, which it does without asking; returns whether there is a
    database.

    Raises:
        CorruptLog: A FIFO, which it would wait for, or whatever else lies in the place of one.
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
    """Every event with its columns, for whoever compares them with the line."""
    return connection.execute(_COLUMNS)


def head(connection: sqlite3.Connection) -> int:
    """The newest seq; 0 for an empty log."""
    (seq,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
    return int(seq)


def is_empty(path: Path) -> bool:
    """Whether a log is known to have no event: what cannot be read may have some."""
    try:
        with opened(path) as connection:
            return not head(connection)
    except QueueNotFound:
        return True
    except (CorruptLog, OSError):
        return False


def owner(connection: sqlite3.Connection) -> QueueStarted | None:
    """How the newest epoch began; None before the first. Nothing is checked: for who wants to know
    where to look.

    Raises:
        UnreadableEvent: It is not an event that this version knows.
    """
    row = connection.execute(_OWNER).fetchone()
    event = None if row is None else decode(row[0])
    return event.data if event and isinstance(event.data, QueueStarted) else None


def copy_location(path: Path) -> tuple[str, str | None] | None:
    """The location of the copy of a log, and its region where that is known: as the log says, as
    far as it can be read, or as its last runner noted; None where neither does."""
    with suppress(SpawnError), opened(path) as connection:
        found = owner(connection)
        if found is not None:
            return found.results_location, found.region
    noted = lag.find(path.parent)
    return None if noted is None else (noted.location, None)


def hash_at(connection: sqlite3.Connection, seq: int) -> bytes | None:
    """The chain's hash up to an event, as stored; None where there is no such event."""
    row = connection.execute(_HASH, (seq,)).fetchone()
    return None if row is None else bytes(row[0])


def started(connection: sqlite3.Connection, job_id: str, attempt: int) -> JobStarted | None:
    """How an attempt began; None where it never did. Nothing is checked.

    Raises:
        UnreadableEvent: It is not an event that this version knows.
    """
    for type_, line in connection.execute(_STARTS, (job_id,)):
        event = decode(line, type_)
        if event is not None and event.attempt == attempt and isinstance(event.data, JobStarted):
            return event.data
    return None


def tokens(connection: sqlite3.Connection) -> set[str]:
    """The tokens of all attempts that began."""
    lines = connection.execute("SELECT line FROM events WHERE type = 'JobStarted'")
    events = (decode(line, b"JobStarted") for (line,) in lines)
    return {event.data.token for event in events if event and isinstance(event.data, JobStarted)}


def last_move(connection: sqlite3.Connection) -> str | None:
    """The type of the event that last moved the queue as a whole; None before it began."""
    row = connection.execute(_MOVE).fetchone()
    return None if row is None else row[0].decode()


def replay(path: Path, queue_id: str, *, until: str | None = None) -> Replay:
    """Replay a log from its beginning.

    Args:
        until: A stamp; events after it are left out.

    Raises:
        QueueNotFound: There is no log, or it is empty.
        CorruptLog: With the first event that is wrong.
    """
    fold = Replay(queue_id)
    with opened(path) as connection:
        fold.feed(rows(connection), until=until)
    if fold.empty:
        raise QueueNotFound(f"queue {queue_id} was not submitted" + (" yet" if until else ""))
    return fold


def _expect_events(connection: sqlite3.Connection, path: Path, written: int) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not tables and (written or path.stat().st_size > NEWBORN_BYTES):
        raise CorruptLog(f"the event log {path} is damaged", why="its schema is gone")
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
        # A folder that we may not write: SQLite wants a -shm file beside a log in WAL mode. With
        # no -wal file there is nothing in it to share.
        connection = sqlite3.connect(uri + "&immutable=1", uri=True)
        connection.text_factory = bytes
    return connection
