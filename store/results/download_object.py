"""Download one object into a file, in ranges and with retries."""

import os
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import closing
from hashlib import sha256
from threading import Event, local
from typing import Protocol

from spawn.store.objects.interface import ETagMismatch, ObjectStore, StoreError, Stream, Unavailable

RANGE = 8 * 1024 * 1024
"""Larger objects are read in ranges of this many bytes, concurrently."""
AHEAD = 8
"""Maximum ranges of one object that are queued, read or not hashed yet."""
CHUNK = 256 * 1024
TRIES = 6
"""Consecutive failures without progress after which a read fails."""
FIRST_SECONDS = 0.25
MOST_SECONDS = 8.0


class Stopped(Exception):
    """The download was stopped."""


class Sha256(Protocol):
    """The type that `hashlib.sha256` returns."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Add bytes."""
        ...

    def hexdigest(self) -> str:
        """The hash so far."""
        ...


class Reader:
    """Downloads objects, and resumes after a failure.

    Args:
        ranges: Reads the ranges of large objects.
        stop: Stops the download when set.
        went: Called with the number of bytes received, from any thread.
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
        self._on_bytes = went
        self._local = local()

    def copy(self, key: str, size: int, fd: int, *, resume: bool = False) -> str:
        """Download an object into a file that is open for reading and writing.

        Args:
            size: The object's size in bytes.
            resume: Whether to keep the ranges that the file already has. The hash shows whether
                they were right.

        Returns:
            The SHA-256 of the file's bytes, in hex.

        Raises:
            NotThere, StoreError: As `ObjectStore.open_range`.
            Changed: The object was replaced meanwhile.
            OSError: The file cannot be written.
            Stopped: `stop` was set.
        """
        os.ftruncate(fd, size)
        digest = sha256()
        if size > RANGE:
            self._in_ranges(key, size, fd, digest, resume=resume)
        elif resume and _is_written(fd, 0, size):
            self._hash(fd, 0, size, digest)
        elif size:
            self._fetch_range(key, fd, 0, size, "", self._buffer(CHUNK), digest)
        return digest.hexdigest()

    def _in_ranges(self, key: str, size: int, fd: int, digest: Sha256, *, resume: bool) -> None:
        """Read ranges concurrently, and hash each after the previous one."""
        coming: deque[Future[str]] = deque()
        before: Future[str] | None = None
        etag = ""
        try:
            for at in range(0, size, RANGE):
                length = min(RANGE, size - at)
                written = resume and _is_written(fd, at, length)
                before = self._ranges.submit(
                    self._read_range, key, fd, at, length, etag, written, before, digest
                )
                coming.append(before)
                if not etag:  # all ranges must have the ETag of the first
                    etag = before.result()
                if len(coming) >= AHEAD:
                    coming.popleft().result()
            for each in coming:
                each.result()
        except BaseException:
            for each in coming:
                if not each.cancel():
                    each.exception()  # waits: the caller closes the descriptor
            raise

    def _read_range(
        self,
        key: str,
        fd: int,
        at: int,
        size: int,
        etag: str,
        written: bool,
        before: Future[str] | None,
        digest: Sha256,
    ) -> str:
        """Read a range, wait for the previous one, hash it; returns the object's ETag if known.

        A range waits only for ranges that were started before it, so there is no deadlock.
        """
        buffer = self._buffer(RANGE)
        if not written:
            etag = self._fetch_range(key, fd, at, size, etag, buffer, None)
        if before is not None:
            before.result()
        if written:
            self._on_bytes(size)
            self._hash(fd, at, size, digest)
        else:
            digest.update(buffer[:size])
        return etag

    def _fetch_range(
        self,
        key: str,
        fd: int,
        at: int,
        size: int,
        etag: str,
        buffer: memoryview,
        digest: Sha256 | None,
    ) -> str:
        """Download one range, with retries; returns the object's ETag.

        Args:
            buffer: The buffer to read into, which may be smaller than the range.
            digest: Updated with the bytes, if not None.
        """
        begin, end = at, at + size
        failures = 0
        while True:
            try:
                stream, etag = self._objects.open_range(key, at, end - at, etag)
                with closing(stream):
                    while at < end:
                        free = buffer[(at - begin) % len(buffer) :][: min(CHUNK, end - at)]
                        got, error = _fill(stream, free)
                        if self._stop.is_set():
                            raise Stopped
                        if got:
                            write_all(fd, free[:got], at)
                            if digest is not None:
                                digest.update(free[:got])
                            at += got
                            failures = 0
                            self._on_bytes(got)
                        if error is not None:
                            raise error
                        if not got:
                            break
                if at == end:
                    return etag
                raise Unavailable(f"{key} ended early", why=f"{end - at} bytes are missing")
            except Unavailable:
                if at == end:
                    return etag
                failures += 1
                if failures >= TRIES:
                    raise
            backoff = min(MOST_SECONDS, FIRST_SECONDS * float(1 << failures))
            if self._stop.wait(backoff * random.uniform(0.5, 1.0)):
                raise Stopped

    def _hash(self, fd: int, at: int, size: int, digest: Sha256) -> None:
        """Hash bytes that the file already has."""
        end = at + size
        buffer = self._buffer(CHUNK)[:CHUNK]
        while at < end:
            if self._stop.is_set():
                raise Stopped
            read = os.preadv(fd, [buffer[: end - at]], at)
            if not read:
                raise ETagMismatch("the file was truncated during the download")
            digest.update(buffer[:read])
            at += read

    def _buffer(self, size: int) -> memoryview:
        """This thread's buffer, at least `size` bytes: to allocate one takes as long as to read."""
        buffer: memoryview | None = getattr(self._local, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = self._local.buffer = memoryview(bytearray(size))
        return buffer[:size]


def _fill(stream: Stream, buffer: memoryview) -> tuple[int, StoreError | None]:
    """Read until the buffer is full or the stream ends; returns the size, and the error if any."""
    got = 0
    try:
        while got < len(buffer) and (more := stream.readinto(buffer[got:])):
            got += more
    except StoreError as error:
        return got, error
    return got, None


def write_all(fd: int, data: bytes | memoryview, at: int) -> None:
    """Write all bytes at an offset: a nearly full disk may write only a part at first.

    Raises:
        OSError: The disk is full or fails.
    """
    left = memoryview(data)
    while left:
        written = os.pwrite(fd, left, at)
        left, at = left[written:], at + written


def _is_written(fd: int, at: int, size: int) -> bool:
    """Whether `size` bytes of a file from `at` on have been written: they have no holes."""
    if not size:
        return True
    try:
        return os.lseek(fd, at, os.SEEK_DATA) == at and os.lseek(fd, at, os.SEEK_HOLE) >= at + size
    except OSError:
        return False
