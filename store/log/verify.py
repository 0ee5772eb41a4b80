"""Read a log as an auditor does: nothing in it is believed because it is there."""

from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection

from msgspec import Struct, structs

from spawn.core import codec
from spawn.core.errors import CorruptLog, QueueNotFound
from spawn.core.replay import Replay, Row
from spawn.core.state import QueueState
from spawn.core.submission import config_sha256
from spawn.store.log import read

_NAMES = ("type", "job_id", "at")


class Verified(Struct, frozen=True, kw_only=True):
    """What a log that holds amounts to."""

    events: int
    hash: str
    """Of the whole chain, in hex: who has noted it knows this log again."""
    state: QueueState


def verify(path: Path, queue_id: str) -> Verified:
    """Check a log: the file, the chain, gaps, each column against its line, legality, the
    configuration's hash.

    Raises:
        QueueNotFound: There is no log, or no event in it.
        CorruptLog: With the first event that is wrong.
    """
    fold = Replay(queue_id)
    with read.opened(path) as connection:
        fold.feed(_checked(connection))
        _check_file(connection, path)
    if fold.empty:
        raise QueueNotFound(f"the log of {queue_id} has no event")
    check_config(fold.state)
    return Verified(events=fold.seq, hash=fold.hash.hex(), state=fold.state)


def _checked(connection: Connection) -> Iterator[Row]:
    for seq, type_, job_id, at, line, hash_ in read.columns(connection):
        yield seq, type_, line, hash_
        # Here the fold has taken the event: its line is what was written.
        said = codec.columns(line)
        for name, column, truth in zip(_NAMES, (type_, job_id, at), said, strict=True):
            if column != (truth if truth is None else truth.encode()):
                raise CorruptLog(
                    f"event {seq}: its column {name} is not what its line says",
                    seq=seq,
                    why=f"{column!r} is not {truth!r}",
                )


def _check_file(connection: Connection, path: Path) -> None:
    (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if answer != b"ok":
        raise CorruptLog(f"the database {path} is damaged", why=answer.decode("utf-8", "replace"))


def check_config(state: QueueState) -> None:
    """See that the configuration, which is spread over events, is what was validated.

    Raises:
        CorruptLog: It is not.
    """
    config = structs.replace(state.config, jobs=tuple(job.config for job in state.jobs.values()))
    if config_sha256(config) != state.config_sha256:
        raise CorruptLog("the configuration's jobs are not those that were submitted", seq=1)
