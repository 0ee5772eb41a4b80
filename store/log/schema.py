"""The current schema of the event log. `migrations/` upgrades older logs."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import (
    BLOB,
    DDL,
    CheckConstraint,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    event,
)

import spawn.migrations
from spawn.core.errors import UnreadableEvent

if TYPE_CHECKING:
    from alembic.config import Config

REVISION = "0001"
"""The newest migration, which new logs start with."""

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("job_id", Text),
    Column("at", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("hash", BLOB, nullable=False),
    CheckConstraint("length(hash) = 32", name="hash_is_sha256"),
)
revision = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), primary_key=True),
)

EXTRAS = (
    "CREATE TRIGGER events_are_appended_in_order BEFORE INSERT ON events"
    " WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM events)"
    " BEGIN SELECT RAISE(ABORT, 'events are appended in order'); END",
    "CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events"
    " BEGIN SELECT RAISE(ABORT, 'events are never updated'); END",
    "CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events"
    " BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END",
    "CREATE VIEW history AS SELECT seq, at, type, job_id,"
    " json_extract(line, '$.attempt') AS attempt, json_extract(line, '$.epoch') AS epoch,"
    " json_extract(line, '$.data') AS data, lower(hex(hash)) AS hash FROM events ORDER BY seq",
    "CREATE VIEW latest AS SELECT job_id, max(seq) AS seq, type, at FROM events"
    " WHERE job_id IS NOT NULL GROUP BY job_id ORDER BY seq",
)
"""Triggers, and views for users of `sqlite3`."""

for _statement in EXTRAS:
    event.listen(events, "after_create", DDL(_statement))  # type: ignore[no-untyped-call]


def migrate(connection: Connection, path: Path) -> None:
    """Apply the pending migrations, each in one transaction.

    Raises:
        UnreadableEvent: A newer version of spawn created the log.
    """
    from alembic.command import upgrade  # the import takes 400 ms
    from alembic.util import CommandError

    config = configuration()
    config.attributes["connection"] = connection
    try:
        upgrade(config, "head")
    except CommandError as error:
        raise UnreadableEvent(
            f"a newer version of spawn created the event log {path}",
            why=str(error),
            hint="use that version, or upgrade with `pip install -U spawn-queue`",
        ) from error


def configuration() -> "Config":
    """Alembic's configuration, created without a file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(spawn.migrations.__path__[0])))
    return config


def newest() -> str | None:
    """The newest revision in `migrations/`."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(configuration()).get_current_head()
