"""What was read of a replica, kept on this machine: a second look fetches only what is new.

A file of `<hash> <line>`, as a segment holds them. It is never believed: the chain is recomputed
whenever it is read, and what does not continue it is cut off, to be fetched again. Who brings it up
to date holds a lock, so that two readers never write at once; who cannot have the lock, or cannot
write, goes on with its own copy in memory.
"""

import os
import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spawn.core import chain
from spawn.core.errors import CorruptLog
from spawn.core.replay import Row
from spawn.store import lock
from spawn.store.replica import lines, restore
from spawn.store.replica.kept import BLOCK, File, Memory

LOCK_SECONDS = 10.0
"""How long another reader may hold the cache before we go on without it."""
_POLL_SECONDS = 0.02


class Cache:
    """The events of one queue as they were read, chain verified.

    Args:
        path: Where they are kept; None for this process alone. Nothing is made before `updating`.
    """

    def __init__(self, queue_id: str, path: Path | None) -> None:
        self.queue_id = queue_id
        self.hash = chain.genesis(queue_id)
        self.damaged = 0
        """The first event that what was kept did not have as it was written; 0 for none."""
        self._path = path
        self._kept: File | Memory = Memory()
        self._starts = array("Q")
        self._end = 0
        self._trusted = 0

    @property
    def seq(self) -> int:
        """The newest event; 0 for none."""
        return len(self._starts)

    @property
    def kept_at(self) -> Path | None:
        """The file that it is in; None when there is none."""
        return self._path if self._path is not None and self._path.is_file() else None

    @contextmanager
    def updating(self) -> Iterator[None]:
        """Hold the cache while it is brought up to date, what others have added included."""
        held = None if self._path is None else _hold(self._path)
        if held is None:
            self._go_alone()
            yield
            return
        path = self._path
        try:
            self._load()
            yield
        finally:
            if path is not None and not self.seq:
                _forget(path)  # no such queue: what is typed wrong leaves nothing behind
            os.close(held)

    def rows(self, after: int = 0) -> Iterator[Row]:
        """The events after a seq, in order.

        Raises:
            CorruptLog: The file was changed after it was read.
        """
        seq, newest = after, self.seq
        if seq >= newest:
            return
        for exported in self._kept.lines(self._starts[after], self._end):
            seq += 1
            yield lines.parse(str(self._path), exported, seq)
        if seq < newest:
            raise CorruptLog(
                f"event {seq + 1} is gone", seq=seq + 1, why=f"{self._path} was cut meanwhile"
            )

    def hash_at(self, seq: int) -> bytes:
        """The chain's hash up to an event, 32 bytes.

        Args:
            seq: From 0 to the newest.
        """
        if seq == 0:
            return chain.genesis(self.queue_id)
        if seq == self.seq:
            return self.hash
        return bytes.fromhex(self._kept.read(self._starts[seq - 1], 64).decode())

    def size_from(self, seq: int) -> int | None:
        """See `restore.Known`: None until the store has shown that it has the same newest event."""
        return self._end - self._starts[seq - 1] if self._trusted >= self.seq else None

    def trust(self) -> None:
        """The store has the newest event as it is here, and so all before it."""
        self._trusted = self.seq

    def extend(self, rows: Iterable[Row]) -> None:
        """Keep events that follow, their chain verified. What came before an error is kept."""
        waiting = bytearray()
        try:
            for _, _, line, hash_ in rows:
                self._starts.append(self._end + len(waiting))
                waiting += chain.export(hash_, line)
                waiting += b"\n"
                self.hash = hash_
                if len(waiting) >= BLOCK:
                    self._write(waiting)
        finally:
            self._write(waiting)

    def cut(self, seq: int) -> None:
        """Forget the events after a seq."""
        if seq < self.seq:
            hash_ = self.hash_at(seq)
            self._end = self._starts[seq]
            del self._starts[seq:]
            self.hash = hash_
            self._trusted = min(self._trusted, seq)
            with suppress(OSError):
                self._kept.cut(self._end)

    def beside(self) -> "Cache":
        """An empty cache that can take this one's place."""
        other = Cache(self.queue_id, None)
        if self._path is not None:
            part = self._path.with_name(f".{self._path.name}.part")
            with suppress(OSError):
                part.unlink(missing_ok=True)
                other._kept = File(part)
                other._path = part
        return other

    def become(self, other: "Cache") -> None:
        """Take what another has, made by `beside`, in the place of what is here."""
        if self._path is not None:
            try:
                if other._path is not None:
                    other._path.replace(self._path)
                else:
                    self._path.unlink(missing_ok=True)
            except OSError:
                self._path = None
        self._kept, self._starts, self._end = other._kept, other._starts, other._end
        self.hash, self._trusted = other.hash, other._trusted

    def drop(self) -> None:
        """Leave nothing of a cache that was made by `beside` and is not wanted."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()

    def _write(self, waiting: bytearray) -> None:
        try:
            self._kept.write(self._end, waiting)
        except OSError:  # the disk is full, or failing: nobody needs a cache
            self._go_alone()
            self._kept.write(self._end, waiting)
        self._end += len(waiting)
        waiting.clear()

    def _go_alone(self) -> None:
        """Go on in memory; what others do with the file is theirs."""
        if isinstance(self._kept, File):
            self._kept = Memory(self._kept.read(0, self._end))
        self._path = None

    def _load(self) -> None:
        assert self._path is not None
        try:
            if not isinstance(self._kept, File):
                self._kept = File(self._path)
            elif not self._kept.is_at(self._path):  # another reader has put a new one there
                self._go_alone()
                return
            if self._kept.size < self._end:
                self._starts, self._end, self._trusted = array("Q"), 0, 0
                self.hash = chain.genesis(self.queue_id)
            self._read_on(self._kept)
        except OSError:
            self._go_alone()

    def _read_on(self, kept: "File") -> None:
        """Take in what is in the file behind what is known; cut off what does not continue it."""
        size = kept.size
        key = str(self._path)
        with suppress(CorruptLog):
            for exported in kept.lines(self._end, size):
                row = lines.parse(key, exported, self.seq + 1)
                self.hash = restore.follow(key, row, self.seq, self.hash)
                self._starts.append(self._end)
                self._end += len(exported) + 1
        if self._end < size:
            self.damaged = self.seq + 1
            kept.cut(self._end)


def _forget(path: Path) -> None:
    """Take away an empty cache, and its folder with it."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.with_name(f".{path.name}.lock").unlink(missing_ok=True)
        path.parent.rmdir()


def _hold(path: Path) -> int | None:
    """Take the lock of a cache; None when it cannot be had. Its folders are made, ours alone."""
    try:
        for folder in (path.parent.parent.parent, path.parent.parent, path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = path.with_name(f".{path.name}.lock")
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        until = time.monotonic() + LOCK_SECONDS
        while (held := lock.take(name)) is None and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
    except OSError:
        return None
    return held
