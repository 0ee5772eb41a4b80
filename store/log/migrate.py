"""Upgrade an older event log to the current schema with Alembic. There is no downgrade."""

from pathlib import Path

from alembic.command import upgrade
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

import spawn.migrations
from spawn.core.errors import UnreadableEvent


def migrate(connection: Connection, path: Path) -> None:
    """Apply the pending migrations, each in one transaction.

    Raises:
        UnreadableEvent: A newer version of spawn created the log.
    """
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


def configuration() -> Config:
    """Alembic's configuration, created without a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(spawn.migrations.__path__[0])))
    return config


def newest() -> str | None:
    """The newest revision in `migrations/`."""
    return ScriptDirectory.from_config(configuration()).get_current_head()
