"""A note of a log's newest event, in a file beside the log.

SQLite ignores a missing WAL, and a WAL from its first damaged frame on: the log is then shorter but
looks complete. The writer therefore notes the last event of each commit. The note is never ahead of
the log: it is written after the commit, and read before the log.
"""

import os
from binascii import crc32
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from spawn.core.errors import CorruptLog
from spawn.store.files import open_regular, read_small
from spawn.store.log import replica_progress

_SUFFIX = "-head"


class Head(Struct, frozen=True, kw_only=True):
    """An event that a log must contain. `hash` is the chain hash up to it; empty if unknown."""

    seq: int
    hash: bytes = b""
    source: str
    """The file or location that notes the event, for messages."""


class HeadNote:
    """Writes the note of a log's newest event.

    Only `close` flushes the note to disk. It survives the process, but may name an older event
    after a power failure or a failed write. Failed writes are ignored.
    """

    def __init__(self, log: Path) -> None:
        self._path = note_path(log)
        self._fd: int | None = None

    def write(self, seq: int, hash_: bytes) -> None:
        """Note a committed event."""
        with suppress(OSError):
            if self._fd is None:
                self._fd = open_regular(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            os.pwrite(self._fd, _encode(seq, hash_), 0)

    def close(self) -> None:
        """Flush the note to the disk."""
        if self._fd is not None:
            with suppress(OSError):
                os.fsync(self._fd)
            os.close(self._fd)
            self._fd = None


def note_path(log: Path) -> Path:
    """The path of a log's note."""
    return log.with_name(log.name + _SUFFIX)


def heads(log: Path) -> list[Head]:
    """The events that a log must contain according to the files beside it, newest first.

    Call this before reading the log: a runner may append to both in between.
    """
    return sorted(_heads(log), key=lambda head: head.seq, reverse=True)


def newest_noted_seq(log: Path) -> int:
    """The newest seq that a log must contain according to the files beside it; 0 if none."""
    return max((head.seq for head in _heads(log)), default=0)


def expect_heads(heads: Iterable[Head], seq: int) -> None:
    """Check that a log reaches each of these events.

    Args:
        seq: The newest event of the log.

    Raises:
        CorruptLog: The log ends before one of them.
    """
    for head in heads:
        if seq < head.seq:
            raise CorruptLog(
                f"the log has lost {_range(seq + 1, head.seq)}",
                seq=seq + 1,
                why=f"{head.source} shows that event {head.seq} was written",
            )


def _heads(log: Path) -> Iterator[Head]:
    note = note_path(log)
    with suppress(OSError, ValueError):  # a damaged note proves nothing about the log
        seq, hash_ = _decode(read_small(note))
        yield Head(seq=seq, hash=hash_, source=note.name)
    copied = replica_progress.load_progress(log.parent)
    if copied is not None and copied.seq:
        yield Head(seq=copied.seq, source=replica_progress.NAME)


def _encode(seq: int, hash_: bytes) -> bytes:
    body = b"%019d %s" % (seq, hash_.hex().encode())
    return b"%s %08x\n" % (body, crc32(body))


def _decode(data: bytes) -> tuple[int, bytes]:
    """Decode a note into seq and hash.

    Raises:
        ValueError: The note is damaged.
    """
    body, _, checksum = data.rpartition(b" ")
    if crc32(body) != int(checksum, 16):
        raise ValueError("the checksum differs")
    seq, hash_ = body.decode().split()
    return int(seq), bytes.fromhex(hash_)


def _range(first: int, last: int) -> str:
    return f"event {first}" if first == last else f"events {first} to {last}"
