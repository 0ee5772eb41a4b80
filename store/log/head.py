"""The newest event that a log is known to have had, kept in files beside the log.

SQLite ignores the rest of a WAL from its first damaged frame on, and a WAL that is missing: the log
is then shorter and looks whole. Each commit is followed by a note of its last event. The note never
runs ahead of the log: it is written after the commit, and readers read it before they read the log.
"""

import os
from binascii import crc32
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from spawn.core.errors import CorruptLog
from spawn.store import lag

_SUFFIX = "-head"


class Head(Struct, frozen=True, kw_only=True):
    """An event that a log must have. `hash` is the chain's up to it; empty where it is unknown."""

    seq: int
    hash: bytes = b""
    source: str
    """Where this is noted, for the user."""


class HeadNote:
    """Notes the newest event of the log that this process writes.

    The note is not flushed before `close`: it outlives the process. After a power failure it may
    name an older event. So does a note that could not be written, which is no error.
    """

    def __init__(self, log: Path) -> None:
        self._path = path_of(log)
        self._fd: int | None = None

    def write(self, seq: int, hash_: bytes) -> None:
        """Note an event after its commit."""
        with suppress(OSError):
            if self._fd is None:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._fd, _encode(seq, hash_), 0)

    def close(self) -> None:
        """Flush the note to the disk."""
        if self._fd is not None:
            with suppress(OSError):
                os.fsync(self._fd)
            os.close(self._fd)
            self._fd = None


def path_of(log: Path) -> Path:
    """The note of a log."""
    return log.with_name(log.name + _SUFFIX)


def heads(log: Path) -> list[Head]:
    """The events that files beside a log show it to have had, the newest first.

    To be read before the log: a runner may append to both meanwhile.
    """
    return sorted(_heads(log), key=lambda head: head.seq, reverse=True)


def newest(log: Path) -> int:
    """The newest seq that files beside a log show it to have had; 0 when there is none."""
    return max((head.seq for head in _heads(log)), default=0)


def expect(heads: Iterable[Head], seq: int) -> None:
    """Check that a log reaches each of these events.

    Args:
        seq: The newest event of the log.

    Raises:
        CorruptLog: The log is shorter than it was.
    """
    for head in heads:
        if seq < head.seq:
            raise CorruptLog(
                f"the log has lost {_range(seq + 1, head.seq)}",
                seq=seq + 1,
                why=f"{head.source} shows that event {head.seq} was written",
            )


def _heads(log: Path) -> Iterator[Head]:
    note = path_of(log)
    with suppress(OSError, ValueError):  # it is damaged, and the log may be whole
        seq, hash_ = _decode(note.read_bytes())
        yield Head(seq=seq, hash=hash_, source=note.name)
    copied = lag.find(log.parent)
    if copied is not None and copied.seq:
        yield Head(seq=copied.seq, source=lag.NAME)


def _encode(seq: int, hash_: bytes) -> bytes:
    body = b"%019d %s" % (seq, hash_.hex().encode())
    return b"%s %08x\n" % (body, crc32(body))


def _decode(data: bytes) -> tuple[int, bytes]:
    """The seq and hash of a note.

    Raises:
        ValueError: It is damaged.
    """
    body, _, checksum = data.rpartition(b" ")
    if crc32(body) != int(checksum, 16):
        raise ValueError("the checksum differs")
    seq, hash_ = body.decode().split()
    return int(seq), bytes.fromhex(hash_)


def _range(first: int, last: int) -> str:
    return f"event {first}" if first == last else f"events {first} to {last}"
