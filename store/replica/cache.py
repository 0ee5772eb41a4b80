"""A local cache of a replica's log, so that a later read fetches only new events.

The cache is a file in the format of a segment, `<hash> <line>` per event. It is not trusted: each
load recomputes the chain and truncates the file where the chain breaks. An update holds a lock, so
that two readers never write at once. A reader that cannot lock or write it uses a copy in memory.
"""

import os
import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spawn.core.domain import chain
from spawn.core.domain.replay import Row
from spawn.core.errors import CorruptLog
from spawn.store.queue_dir import lock
from spawn.store.replica import lines, read
from spawn.store.replica.cache_storage import BLOCK, FileStorage, MemoryStorage

LOCK_SECONDS = 10.0
"""How long to wait for another reader's lock before a copy in memory is used."""
_POLL_SECONDS = 0.02


class Cache:
    """The verified events of one queue.

    Args:
        path: The cache file, created by `updating`; None to keep the events in memory.
    """

    def __init__(self, queue_id: str, path: Path | None) -> None:
        self.queue_id = queue_id
        self.hash = chain.genesis(queue_id)
        self.damaged = 0
        """The first damaged event of the file; 0 if none."""
        self._path = path
        self._storage: FileStorage | MemoryStorage = MemoryStorage()
        self._starts = array("Q")
        self._end = 0
        self._confirmed = 0

    @property
    def seq(self) -> int:
        """The newest seq; 0 if there are no events."""
        return len(self._starts)

    @property
    def file(self) -> Path | None:
        """The cache file; None if there is none."""
        return self._path if self._path is not None and self._path.is_file() else None

    @contextmanager
    def updating(self) -> Iterator[None]:
        """Lock the cache for an update, and load the events that other processes added."""
        held = None if self._path is None else _acquire_lock(self._path)
        if held is None:
            self._switch_to_memory()
            yield
            return
        path = self._path
        try:
            self._load()
            yield
        finally:
            if path is not None and not self.seq:
                _delete(path)  # no such queue: a mistyped id leaves nothing behind
            os.close(held)

    def rows(self, after: int = 0) -> Iterator[Row]:
        """The events after a seq, in order.

        Raises:
            CorruptLog: The file was modified after it was loaded.
        """
        seq, newest = after, self.seq
        if seq >= newest:
            return
        for exported in self._storage.lines(self._starts[after], self._end):
            seq += 1
            yield lines.parse(str(self._path), exported, seq)
        if seq < newest:
            raise CorruptLog(
                f"event {seq + 1} is gone", seq=seq + 1, why=f"{self._path} was truncated"
            )

    def hash_at(self, seq: int) -> bytes:
        """The chain hash up to an event, 32 bytes.

        Args:
            seq: From 0 to the newest.
        """
        if seq == 0:
            return chain.genesis(self.queue_id)
        if seq == self.seq:
            return self.hash
        return bytes.fromhex(self._storage.read(self._starts[seq - 1], 64).decode())

    def size_from(self, seq: int) -> int | None:
        """See `read.Cached`. None until `confirm` was called for the newest event."""
        return self._end - self._starts[seq - 1] if self._confirmed >= self.seq else None

    def confirm(self) -> None:
        """Record that the store has the same newest event, and so all events before it."""
        self._confirmed = self.seq

    def extend(self, rows: Iterable[Row]) -> None:
        """Append verified events. If `rows` raises, the events before are kept."""
        waiting = bytearray()
        try:
            for _, _, line, hash_ in rows:
                self._starts.append(self._end + len(waiting))
                waiting += chain.format_line(hash_, line)
                waiting += b"\n"
                self.hash = hash_
                if len(waiting) >= BLOCK:
                    self._write(waiting)
        finally:
            self._write(waiting)

    def truncate(self, seq: int) -> None:
        """Drop the events after a seq."""
        if seq < self.seq:
            hash_ = self.hash_at(seq)
            self._end = self._starts[seq]
            del self._starts[seq:]
            self.hash = hash_
            self._confirmed = min(self._confirmed, seq)
            with suppress(OSError):
                self._storage.cut(self._end)

    def new_replacement(self) -> "Cache":
        """An empty cache that can replace this one."""
        other = Cache(self.queue_id, None)
        if self._path is not None:
            part = self._path.with_name(f".{self._path.name}.part")
            with suppress(OSError):
                part.unlink(missing_ok=True)
                other._storage = FileStorage(part)
                other._path = part
        return other

    def replace_with(self, other: "Cache") -> None:
        """Take over the events and the file of a cache that `beside` returned."""
        if self._path is not None:
            try:
                if other._path is not None:
                    other._path.replace(self._path)
                else:
                    self._path.unlink(missing_ok=True)
            except OSError:
                self._path = None
        self._storage, self._starts, self._end = other._storage, other._starts, other._end
        self.hash, self._confirmed = other.hash, other._confirmed

    def delete_file(self) -> None:
        """Delete the file of a cache that `beside` returned."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()

    def _write(self, waiting: bytearray) -> None:
        try:
            self._storage.write(self._end, waiting)
        except OSError:  # the disk is full or failing: the file is optional
            self._switch_to_memory()
            self._storage.write(self._end, waiting)
        self._end += len(waiting)
        waiting.clear()

    def _switch_to_memory(self) -> None:
        """Continue in memory, and leave the file to other processes."""
        if isinstance(self._storage, FileStorage):
            self._storage = MemoryStorage(self._storage.read(0, self._end))
        self._path = None

    def _load(self) -> None:
        assert self._path is not None
        try:
            if not isinstance(self._storage, FileStorage):
                self._storage = FileStorage(self._path)
            elif not self._storage.is_at(self._path):  # another reader replaced the file
                self._switch_to_memory()
                return
            if self._storage.size < self._end:
                self._starts, self._end, self._confirmed = array("Q"), 0, 0
                self.hash = chain.genesis(self.queue_id)
            self._load_new(self._storage)
        except OSError:
            self._switch_to_memory()

    def _load_new(self, storage: FileStorage) -> None:
        """Load the events after the known ones; truncate the file where the chain breaks."""
        size = storage.size
        key = str(self._path)
        with suppress(CorruptLog):
            for exported in storage.lines(self._end, size):
                row = lines.parse(key, exported, self.seq + 1)
                self.hash = read.follow(key, row, self.seq, self.hash)
                self._starts.append(self._end)
                self._end += len(exported) + 1
        if self._end < size:
            self.damaged = self.seq + 1
            storage.cut(self._end)


def _delete(path: Path) -> None:
    """Delete an empty cache and its folder."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.with_name(f".{path.name}.lock").unlink(missing_ok=True)
        path.parent.rmdir()


def _acquire_lock(path: Path) -> int | None:
    """Lock a cache; None if that fails. Creates its folders, accessible only to the user."""
    try:
        for folder in (path.parent.parent.parent, path.parent.parent, path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = path.with_name(f".{path.name}.lock")
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        until = time.monotonic() + LOCK_SECONDS
        while (held := lock.acquire(name)) is None and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
    except OSError:
        return None
    return held
