"""Read a log as an auditor does: nothing in it is believed because it is there, and it must have
what other files show to have been in it."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from sqlite3 import Connection

from msgspec import Struct, structs

from spawn.core import codec
from spawn.core.errors import CorruptLog, QueueNotFound
from spawn.core.replay import Replay, Row
from spawn.core.state import QueueState
from spawn.core.submission import config_sha256
from spawn.store import owning
from spawn.store.log import read
from spawn.store.log.head import Head, expect, heads

_NAMES = ("type", "job_id", "at")
_OUTPUT = ("stdout.log", "stderr.log", "manifest.json")
"""Files of an attempt that are empty, or missing, unless its command was executed."""


class Verified(Struct, frozen=True, kw_only=True):
    """What a log that holds amounts to."""

    events: int
    hash: str
    """Of the whole chain, in hex: who has noted it knows this log again."""
    state: QueueState


class Evidence(Struct, frozen=True, kw_only=True):
    """What a log must have had, as other files show.

    `epoch` is one that began; `executed` the folders of attempts whose commands ran, by token.
    """

    heads: tuple[Head, ...] = ()
    epoch: int = 0
    executed: dict[str, Path] = {}


def evidence(log: Path, copied: Iterable[Head] = ()) -> Evidence:
    """Gather what a queue's folder shows. To be done before the log is read: a runner may append
    meanwhile, and leave more behind.

    Args:
        copied: Events that copies of the log have.
    """
    return Evidence(
        heads=(*heads(log), *copied),
        epoch=owning.newest_epoch(log.parent),
        executed=_executed(log.parent / "jobs"),
    )


def verify(path: Path, queue_id: str, known: Evidence | None = None) -> Verified:
    """Check a log: the file, the chain, gaps, each column against its line, legality, the
    configuration's hash, and that no event is missing at its end.

    Args:
        known: What it must have; None for what its folder shows.

    Raises:
        QueueNotFound: There is no log, or no event in it.
        CorruptLog: With the first event that is wrong or missing.
    """
    known = evidence(path) if known is None else known
    fold = Replay(queue_id)
    with read.opened(path) as connection:
        fold.feed(_checked(connection, known.heads))
        _check_file(connection, path)
        expect(known.heads, fold.seq)
        if fold.empty:
            raise QueueNotFound(f"the log of {queue_id} has no event")
        _expect_attempts(connection, known, fold)
    check_config(fold.state)
    return Verified(events=fold.seq, hash=fold.hash.hex(), state=fold.state)


def _expect_attempts(connection: Connection, known: Evidence, fold: Replay) -> None:
    if fold.state.epoch < known.epoch:
        raise CorruptLog(
            "the log has lost its end",
            seq=fold.seq + 1,
            why=f"{owning.NAME} shows that epoch {known.epoch} began",
        )
    began = read.tokens(connection) if known.executed else set()
    for token in known.executed.keys() - began:
        raise CorruptLog(
            "the log has lost the start of an attempt",
            seq=fold.seq + 1,
            why=f"{known.executed[token]} has what it left",
        )


def _executed(jobs: Path) -> dict[str, Path]:
    """The folders of attempts whose commands were executed for certain, by token: the start of
    each was in the log before."""
    found = {}
    for folder in jobs.glob("*/attempt-*.*"):
        for name in _OUTPUT:
            with suppress(OSError):
                if (folder / name).stat().st_size:
                    found[folder.suffix[1:]] = folder
    return found


def _checked(connection: Connection, known: Iterable[Head]) -> Iterator[Row]:
    hashes = {head.seq: head for head in known if head.hash}
    for seq, type_, job_id, at, line, hash_ in read.columns(connection):
        yield seq, type_, line, hash_
        if seq in hashes and hashes[seq].hash != hash_:
            raise CorruptLog(
                f"event {seq} is not what was written",
                seq=seq,
                why=f"{hashes[seq].source} has another hash for it",
            )
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
