"""Create the event log."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table, its triggers and its views."""
    op.execute(
        "CREATE TABLE events (seq INTEGER NOT NULL, type TEXT NOT NULL, job_id TEXT,"
        " at TEXT NOT NULL, line TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (seq),"
        " CONSTRAINT hash_is_sha256 CHECK (length(hash) = 32))"
    )
    op.execute(
        "CREATE TRIGGER events_are_appended_in_order BEFORE INSERT ON events"
        " WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM events)"
        " BEGIN SELECT RAISE(ABORT, 'events are appended in order'); END"
    )
    op.execute(
        "CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events"
        " BEGIN SELECT RAISE(ABORT, 'events are never updated'); END"
    )
    op.execute(
        "CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events"
        " BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END"
    )
    op.execute(
        "CREATE VIEW history AS SELECT seq, at, type, job_id,"
        " json_extract(line, '$.attempt') AS attempt, json_extract(line, '$.epoch') AS epoch,"
        " json_extract(line, '$.data') AS data, lower(hex(hash)) AS hash"
        " FROM events ORDER BY seq"
    )
    op.execute(
        "CREATE VIEW latest AS SELECT job_id, max(seq) AS seq, type, at FROM events"
        " WHERE job_id IS NOT NULL GROUP BY job_id ORDER BY seq"
    )
