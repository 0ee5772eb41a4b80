"""The log's schema: declared once, migrated to from every older one; newer ones are rejected."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.configs import chain
from tests.support.logs import QUEUE_ID, running

from spawn.core.errors import CorruptLog
from spawn.store.log import read, schema
from spawn.store.log.schema import newest
from spawn.store.log.write import LogWriter


def _schema(path: Path) -> dict[str, str]:
    query = "SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL"
    with closing(sqlite3.connect(path)) as connection:
        return {name: f"{kind}: {_plain(sql)}" for name, kind, sql in connection.execute(query)}


def _plain(sql: str) -> str:
    """Remove whitespace and alembic's name for the key of its own table."""
    sql = sql.replace("CONSTRAINT alembic_version_pkc ", "")
    return re.sub(r"\s*([(),])\s*", r"\1", re.sub(r"\s+", " ", sql)).strip()


def _revision(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchall()


def _made_before_everything(path: Path) -> None:
    """Create a log without any migration."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")


def test_migrations_lead_to_the_schema_of_new_logs(tmp_path: Path) -> None:
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    LogWriter(new).close()
    _made_before_everything(old)
    LogWriter(old).close()
    migrated, declared = _schema(old), _schema(new)
    del migrated["alembic_version"], declared["alembic_version"]
    assert migrated == declared
    assert {"events", "history", "latest"} < set(declared)


def test_new_and_migrated_logs_have_the_newest_revision(tmp_path: Path) -> None:
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    LogWriter(new).close()
    _made_before_everything(old)
    LogWriter(old).close()
    assert _revision(new) == _revision(old) == [(schema.REVISION,)]
    assert newest() == schema.REVISION


def test_a_migrated_log_accepts_events(tmp_path: Path) -> None:
    path, log = tmp_path / "events.db", running(chain(1))
    _made_before_everything(path)
    with LogWriter(path) as writer:
        writer.append(log.entries, expected_seq=1)
    assert read.replay(path, QUEUE_ID).seq == log.seq


def test_a_log_of_a_newer_revision_is_rejected_and_unchanged(tmp_path: Path) -> None:
    path = running(chain(1)).write(tmp_path / "events.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(CorruptLog) as caught:
        LogWriter(path)
    assert "newer version of spawn" in caught.value.what
    assert "9999" in caught.value.why
    assert caught.value.hint
    assert path.read_bytes() == before


def test_opening_a_current_log_does_not_import_alembic(tmp_path: Path) -> None:
    """The import takes 400 ms."""
    path = running(chain(1)).write(tmp_path / "events.db")
    code = (
        "import sys; from pathlib import Path; from spawn.store.log.write import LogWriter;"
        "LogWriter(Path(sys.argv[1])).close(); print('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(path)]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"False\n"


def test_reading_a_log_does_not_import_sqlalchemy(tmp_path: Path) -> None:
    """The import takes 300 ms."""
    path = running(chain(1)).write(tmp_path / "events.db")
    code = (
        "import sys; from pathlib import Path; from spawn.store.log import read;"
        f"read.replay(Path(sys.argv[1]), {QUEUE_ID!r}); print('sqlalchemy' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(path)]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"False\n"
