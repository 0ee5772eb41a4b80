"""Verify a log: its integrity, and that it contains everything that other files show."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from sqlite3 import Connection

from msgspec import Struct, structs

from spawn.core.domain import codec
from spawn.core.domain.replay import Replay, Row
from spawn.core.domain.state import QueueState
from spawn.core.domain.submission import config_sha256
from spawn.core.errors import CorruptLog, QueueNotFound
from spawn.store.log import ownership_time, read
from spawn.store.log.head import Head, expect_heads, heads

_NAMES = ("type", "job_id", "at")
_OUTPUT = ("stdout.log", "stderr.log", "manifest.json")
"""Files of an attempt that are empty, or missing, unless its command ran."""


class Verified(Struct, frozen=True, kw_only=True):
    """The result of a successful verification."""

    events: int
    hash: str
    """The hash of the whole chain in hex, which identifies the log."""
    state: QueueState


class Evidence(Struct, frozen=True, kw_only=True):
    """What a log must contain according to other files.

    `epoch` is the newest that began; `executed` has the folders of attempts whose commands ran, by
    token.
    """

    heads: tuple[Head, ...] = ()
    epoch: int = 0
    executed: dict[str, Path] = {}


def gather_evidence(log: Path, copied: Iterable[Head] = ()) -> Evidence:
    """Gather the evidence in a queue's folder.

    Call this before reading the log: a runner may append to both in between.

    Args:
        copied: Events that copies of the log have.
    """
    return Evidence(
        heads=(*heads(log), *copied),
        epoch=ownership_time.newest_epoch(log.parent),
        executed=_executed(log.parent / "jobs"),
    )


def verify(path: Path, queue_id: str, known: Evidence | None = None) -> Verified:
    """Verify a log: the file, the chain, gaps, each column against its line, legal transitions,
    the configuration's hash, and that no event is missing at the end.

    Args:
        known: What the log must contain (default: the evidence in its folder).

    Raises:
        QueueNotFound: The log does not exist or has no events.
        CorruptLog: Names the first invalid or missing event.
    """
    known = gather_evidence(path) if known is None else known
    fold = Replay(queue_id)
    with read.open_log(path) as connection:
        fold.feed(_checked(connection, known.heads))
        _check_file(connection, path)
        expect_heads(known.heads, fold.seq)
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
            why=f"{ownership_time.NAME} shows that epoch {known.epoch} began",
        )
    began = read.tokens(connection) if known.executed else set()
    for token in known.executed.keys() - began:
        raise CorruptLog(
            "the log has lost the start of an attempt",
            seq=fold.seq + 1,
            why=f"{known.executed[token]} contains its output",
        )


def _executed(jobs: Path) -> dict[str, Path]:
    """The folders of attempts whose commands certainly ran, by token. The start of each was in the
    log before."""
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
                why=f"{hashes[seq].source} has a different hash",
            )
        expected = codec.header_fields(line)  # the fold has verified the line by now
        for name, column, value in zip(_NAMES, (type_, job_id, at), expected, strict=True):
            if column != (value if value is None else value.encode()):
                raise CorruptLog(
                    f"event {seq}: column {name} does not match its line",
                    seq=seq,
                    why=f"{column!r} is not {value!r}",
                )


def _check_file(connection: Connection, path: Path) -> None:
    (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if answer != b"ok":
        raise CorruptLog(f"the database {path} is damaged", why=answer.decode("utf-8", "replace"))


def check_config(state: QueueState) -> None:
    """Check that the configuration, which is spread over events, has the submitted hash.

    Raises:
        CorruptLog: It does not.
    """
    config = structs.replace(state.config, jobs=tuple(job.config for job in state.jobs.values()))
    if config_sha256(config) != state.config_sha256:
        raise CorruptLog("the configuration's jobs do not match the submitted ones", seq=1)
