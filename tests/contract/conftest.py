"""What tests of the log share."""

import sqlite3
from collections.abc import Iterator

import pytest

from spawn.core.replay import Row
from spawn.store.log import read


@pytest.fixture(autouse=True)
def _quiet_cursors(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the reader must do itself: see `test_a_refusal_says_nothing_else`."""

    def rows(connection: sqlite3.Connection, after: int = 0) -> Iterator[Row]:
        query = "SELECT seq, type, line, hash FROM events WHERE seq > ? ORDER BY seq"
        for row in connection.execute(query, (after,)):  # noqa: UP028
            yield row

    def columns(connection: sqlite3.Connection) -> Iterator[read.Columns]:
        for row in connection.execute("SELECT * FROM events ORDER BY seq"):  # noqa: UP028
            yield row

    monkeypatch.setattr(read, "rows", rows)
    monkeypatch.setattr(read, "columns", columns)
