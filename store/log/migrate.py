"""Lead an older event log to today's schema with alembic, forward only."""

from pathlib import Path

from alembic.command import upgrade
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

import spawn.migrations
from spawn.core.errors import UnreadableEvent


def migrate(connection: Connection, path: Path) -> None:
    """Run every migration that the log has not seen, each in one transaction.

    Raises:
        UnreadableEvent: A newer spawn made the log.
    """
    config = configuration()
    config.attributes["connection"] = connection
    try:
        upgrade(config, "head")
    except CommandError as error:
        raise UnreadableEvent(
            f"the event log {path} is of a newer version of spawn",
            why=str(error),
            hint="use that version, or `pip install -U spawn-queue`",
        ) from error


def configuration() -> Config:
    """Alembic's configuration, which no file is needed for."""
    config = Config()
    config.set_main_option("script_location", str(Path(spawn.migrations.__path__[0])))
    return config


def newest() -> str | None:
    """The newest revision that `migrations/` knows."""
    return ScriptDirectory.from_config(configuration()).get_current_head()
