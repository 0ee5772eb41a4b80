"""Bring one object into a file, whole and verified or not at all."""

import os
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import closing
from hashlib import sha256
from threading import Event
from typing import Protocol

from spawn.store.objects.port import Changed, ObjectStore, Unavailable

RANGE = 16 * 1024 * 1024
"""Larger objects are read in ranges of this many bytes, several at once."""
AHEAD = 8
"""Ranges of one object that are read, or wait for that, before the first of them is hashed."""
CHUNK = 512 * 1024
TRIES = 6
"""How often in a row a read may fail without a byte that is new."""
FIRST_SECONDS = 0.25
MOST_SECONDS = 8.0


class Stopped(Exception):
    """Nobody wants the rest."""


class Sha256(Protocol):
    """What `hashlib.sha256` makes."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take more bytes."""
        ...

    def hexdigest(self) -> str:
        """The hash so far."""
        ...


class Reader:
    """Reads objects of a store, and tries again where it breaks off.

    Args:
        ranges: Where ranges of large objects are read.
        stop: Set when nobody wants the rest.
        went: Told of every byte that has come, from any thread.
    """

    def __init__(
        self,
        objects: ObjectStore,
        ranges: Executor,
        stop: Event | None = None,
        went: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._objects = objects
        self._ranges = ranges
        self._stop = stop or Event()
        self._went = went

    def copy(self, key: str, size: int, fd: int, *, resume: bool = False) -> str:
        """Write an object into a file that is open for reading and writing.

        Args:
            size: Of the object, bytes.
            resume: Whether what the file has already is taken for the object's, where it is no
                hole. The hash tells whether that was right.

        Returns:
            The SHA-256 of the file's bytes, in hex.

        Raises:
            NotThere, StoreError: As `ObjectStore.open_range`.
            Changed: Somebody wrote another object under the key meanwhile.
            OSError: The file cannot be written.
            Stopped: `stop` was set.
        """
        os.ftruncate(fd, size)
        digest = sha256()
        if size <= RANGE:
            if not (resume and _is_full(fd, 0, size)):
                self._bring(key, fd, 0, size, "")
            self._hash(fd, 0, size, digest)
            return digest.hexdigest()
        etag = ""
        coming: deque[tuple[int, int, Future[str] | None]] = deque()
        try:
            for at in range(0, size, RANGE):
                length = min(RANGE, size - at)
                future = None
                if resume and _is_full(fd, at, length):
                    self._went(length)
                elif not etag:  # whose it is, all the others must be
                    etag = self._bring(key, fd, at, length, "")
                else:
                    future = self._ranges.submit(self._bring, key, fd, at, length, etag)
                coming.append((at, length, future))
                if len(coming) >= AHEAD:
                    self._take(fd, *coming.popleft(), digest)
            while coming:
                self._take(fd, *coming.popleft(), digest)
        except BaseException:
            for _, _, future in coming:
                if future is not None and not future.cancel():
                    future.exception()  # the descriptor is about to be closed
            raise
        return digest.hexdigest()

    def _take(
        self, fd: int, at: int, size: int, future: Future[str] | None, digest: Sha256
    ) -> None:
        if future is not None:
            future.result()
        self._hash(fd, at, size, digest)

    def _bring(self, key: str, fd: int, at: int, size: int, etag: str) -> str:
        """Write one range, however often it breaks off; returns the object's ETag."""
        end = at + size
        failures = 0
        if not size:
            return ""
        while True:
            try:
                stream, etag = self._objects.open_range(key, at, end - at, etag)
                with closing(stream):
                    while at < end and (data := stream.read(min(CHUNK, end - at))):
                        if self._stop.is_set():
                            raise Stopped
                        write_all(fd, data, at)
                        at += len(data)
                        failures = 0
                        self._went(len(data))
                if at == end:
                    return etag
                raise Unavailable(f"{key} breaks off", why=f"{end - at} bytes of it are missing")
            except Unavailable:
                failures += 1
                if failures >= TRIES:
                    raise
            backoff = min(MOST_SECONDS, FIRST_SECONDS * float(1 << failures))
            if self._stop.wait(backoff * random.uniform(0.5, 1.0)):
                raise Stopped

    def _hash(self, fd: int, at: int, size: int, digest: Sha256) -> None:
        """Read back what was written: it is still in memory, and hashed in order."""
        end = at + size
        buffer = memoryview(bytearray(min(CHUNK, size)))
        while at < end:
            if self._stop.is_set():
                raise Stopped
            read = os.preadv(fd, [buffer[: end - at]], at)
            if not read:
                raise Changed("the file was cut while it was written")
            digest.update(buffer[:read])
            at += read


def write_all(fd: int, data: bytes, at: int) -> None:
    """Write bytes at a place, all of them: a disk that is nearly full takes a part first.

    Raises:
        OSError: It takes no more.
    """
    left = memoryview(data)
    while left:
        written = os.pwrite(fd, left, at)
        left, at = left[written:], at + written


def _is_full(fd: int, at: int, size: int) -> bool:
    """Whether a file has been written from `at` on, as far as holes tell."""
    if not size:
        return True
    try:
        return os.lseek(fd, at, os.SEEK_DATA) == at and os.lseek(fd, at, os.SEEK_HOLE) >= at + size
    except OSError:
        return False
