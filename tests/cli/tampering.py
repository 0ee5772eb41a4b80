"""Changes to a log, as made by another process with access to its file."""

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path


def tamper(path: Path, *statements: str) -> None:
    """Change a log, and leave the hashes of its chain unchanged."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER events_are_never_updated")
        connection.execute("DROP TRIGGER events_are_never_deleted")
        connection.execute("DROP TRIGGER events_are_appended_in_order")
        for statement in statements:
            connection.execute(statement)


def rechained(path: Path, statement: str) -> None:
    """Change a log and recompute its chain; its folder must be named after the queue."""
    tamper(path, statement)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        hash_ = sha256(path.parent.name.encode()).digest()
        for seq, line in connection.execute("SELECT seq, line FROM events ORDER BY seq").fetchall():
            hash_ = sha256(hash_ + line.encode()).digest()
            connection.execute("UPDATE events SET hash = ? WHERE seq = ?", (hash_, seq))
