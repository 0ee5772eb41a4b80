"""Append to an event log. Each transaction is durable when it returns."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, create_engine, insert, select
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import NullPool

from spawn.core.domain.codec import header_fields
from spawn.core.domain.events import Data, Event
from spawn.core.domain.replay import Row
from spawn.core.errors import CorruptLog, LogConflict, SpawnError
from spawn.store.log import head, read, schema
from spawn.store.log.read import NEWBORN_BYTES

Entry = tuple[Event[Data], bytes, bytes]
"""`(event, line, hash)`: an event with its exact bytes and the chain hash up to it."""

_INSERT = insert(schema.events)


class LogFull(SpawnError):
    """The log cannot be written: the disk is full or failing. Nothing was written."""


class LogWriter:
    """The write connection to a log. The caller holds the queue's `runner.lock`.

    Args:
        path: The database; created with the current schema if missing.

    Raises:
        CorruptLog: The file is not an event log, is shorter than its note says, or was created by a
            newer version of spawn. The file stays untouched: the WAL may help to recover events.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        read.expect_files(path)
        engine = create_engine(
            "sqlite://",
            creator=lambda: _connect(path),
            poolclass=NullPool,
        )
        sqlalchemy_event.listen(engine, "begin", _begin)
        known = head.heads(path)
        if known:
            with read.open_log(path) as connection:
                head.expect_heads(known, read.head(connection))
        try:
            self._connection = engine.connect()
            self._note = head.HeadNote(path)
            try:
                _create_or_migrate(self._connection, path)
            except BaseException:
                self.close()
                raise
        except DBAPIError as error:
            raise CorruptLog(
                f"the event log {path} cannot be opened", why=str(error.orig)
            ) from error

    @property
    def name(self) -> str:
        """The log's path, for messages."""
        return str(self._path)

    def append(self, entries: Sequence[Entry], *, expected_seq: int) -> None:
        """Append events in one durable transaction.

        Args:
            entries: With consecutive seqs from `expected_seq` on.
            expected_seq: The expected next seq of the log.

        Raises:
            LogConflict: Another process wrote to the log; nothing was written.
            LogFull: The disk is full or failing; nothing was written.
        """
        if [entry[0].seq for entry in entries] != list(
            range(expected_seq, expected_seq + len(entries))
        ):
            raise LogConflict(f"the events do not follow seq {expected_seq - 1}")
        rows = [
            {
                "seq": event.seq,
                "type": event.type,
                "job_id": event.job_id,
                "at": event.at,
                "line": line.decode(),
                "hash": hash_,
            }
            for event, line, hash_ in entries
        ]
        with self._transaction():
            newest = self._connection.exec_driver_sql(
                "SELECT coalesce(max(seq), 0) FROM events"
            ).scalar_one()
            if newest != expected_seq - 1:
                raise LogConflict(
                    f"the log is at seq {newest}, not {expected_seq - 1}",
                    why="another process wrote to it",
                )
            self._connection.execute(_INSERT, rows)
        if entries:
            self._note.write(entries[-1][0].seq, entries[-1][2])

    def adopt(self, rows: Iterable[Row]) -> None:
        """Append events that another machine wrote, in one durable transaction.

        Args:
            rows: The verified events after the log's last, in order. If iterating them raises,
                nothing is written.

        Raises:
            LogConflict: The events do not follow the log's last.
            LogFull: The disk is full or failing; nothing was written.
        """
        newest: Row | None = None
        with self._transaction():
            for newest in rows:
                seq, _, line, hash_ = newest
                type_, job_id, at = header_fields(line)
                values = {"seq": seq, "type": type_, "job_id": job_id, "at": at}
                self._connection.execute(_INSERT, {**values, "line": line.decode(), "hash": hash_})
        if newest is not None:
            self._note.write(newest[0], newest[3])

    def rows(self, after: int = 0) -> Iterator[Row]:
        """The events after a seq, in order, read from the disk."""
        with read.open_log(self._path) as connection:
            yield from read.rows(connection, after)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._connection.begin():
                yield
        except IntegrityError as error:
            raise LogConflict("the log rejected an event", why=str(error.orig)) from error
        except DBAPIError as error:
            full = getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
            raise LogFull(
                f"the event log {self._path} cannot be written",
                why=str(error.orig),
                hint="free some space on its disk" if full else "",
            ) from error

    def close(self) -> None:
        """Write the WAL back to the database and close the connection."""
        driver = self._connection.connection.driver_connection
        if driver is not None:
            with suppress(sqlite3.Error):  # a reader holds an old page: the WAL stays
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        self._note.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _create_or_migrate(connection: Connection, path: Path) -> None:
    with connection.begin():
        tables = set(
            connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
            .scalars()
            .all()
        )
        if not tables and path.stat().st_size > NEWBORN_BYTES:
            raise CorruptLog(f"the event log {path} is damaged", why="its schema is missing")
        if not tables:
            schema.metadata.create_all(connection)
            connection.execute(insert(schema.revision).values(version_num=schema.REVISION))
            return
        if "alembic_version" not in tables:
            raise CorruptLog(f"{path} is not an event log")
        found = connection.execute(select(schema.revision.c.version_num)).scalar_one_or_none()
    if found != schema.REVISION:
        schema.migrate(connection, path)
