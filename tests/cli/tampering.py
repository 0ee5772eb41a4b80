"""Changes to a log, as somebody makes them who has its file."""

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path


def tamper(path: Path, *statements: str) -> None:
    """Change a log; the hashes of its chain stay as they are."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER events_are_never_updated")
        connection.execute("DROP TRIGGER events_are_never_deleted")
        connection.execute("DROP TRIGGER events_are_appended_in_order")
        for statement in statements:
            connection.execute(statement)


def rechained(path: Path, statement: str) -> None:
    """Change a log of the queue that its folder is called after, and compute its chain anew."""
    tamper(path, statement)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        hash_ = sha256(path.parent.name.encode()).digest()
        for seq, line in connection.execute("SELECT seq, line FROM events ORDER BY seq").fetchall():
            hash_ = sha256(hash_ + line.encode()).digest()
            connection.execute("UPDATE events SET hash = ? WHERE seq = ?", (hash_, seq))
