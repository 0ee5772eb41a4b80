"""Bring one object into a file, whole and verified or not at all."""

import os
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import closing
from hashlib import sha256
from threading import Event, local
from typing import Protocol

from spawn.store.objects.port import Changed, ObjectStore, StoreError, Stream, Unavailable

RANGE = 8 * 1024 * 1024
"""Larger objects are read in ranges of this many bytes, several at once."""
AHEAD = 8
"""Ranges of one object that are read, or wait for that, before the first of them is hashed."""
CHUNK = 256 * 1024
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
        self._rooms = local()

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
        if size > RANGE:
            self._in_ranges(key, size, fd, digest, resume=resume)
        elif resume and _is_full(fd, 0, size):
            self._hash(fd, 0, size, digest)
        elif size:
            self._bring(key, fd, 0, size, "", self._room(CHUNK), digest)
        return digest.hexdigest()

    def _in_ranges(self, key: str, size: int, fd: int, digest: Sha256, *, resume: bool) -> None:
        """Have ranges read at once, and each hashed when the one before it is."""
        coming: deque[Future[str]] = deque()
        before: Future[str] | None = None
        etag = ""
        try:
            for at in range(0, size, RANGE):
                length = min(RANGE, size - at)
                there = resume and _is_full(fd, at, length)
                before = self._ranges.submit(
                    self._one, key, fd, at, length, etag, there, before, digest
                )
                coming.append(before)
                if not etag:  # whose the first is, all the others must be
                    etag = before.result()
                if len(coming) >= AHEAD:
                    coming.popleft().result()
            for each in coming:
                each.result()
        except BaseException:
            for each in coming:
                if not each.cancel():
                    each.exception()  # the descriptor is about to be closed
            raise

    def _one(
        self,
        key: str,
        fd: int,
        at: int,
        size: int,
        etag: str,
        there: bool,
        before: Future[str] | None,
        digest: Sha256,
    ) -> str:
        """Read a range, wait for its turn, hash it; returns the object's ETag, if that was told.

        Who it waits for was begun before it, so somebody always goes on.
        """
        room = self._room(RANGE)
        if not there:
            etag = self._bring(key, fd, at, size, etag, room, None)
        if before is not None:
            before.result()
        if there:
            self._went(size)
            self._hash(fd, at, size, digest)
        else:
            digest.update(room[:size])
        return etag

    def _bring(
        self,
        key: str,
        fd: int,
        at: int,
        size: int,
        etag: str,
        room: memoryview,
        digest: Sha256 | None,
    ) -> str:
        """Write one range, however often it breaks off; returns the object's ETag.

        Args:
            room: Where it is read into, over and over again where it is smaller.
            digest: Takes the bytes as they come.
        """
        begin, end = at, at + size
        failures = 0
        while True:
            try:
                stream, etag = self._objects.open_range(key, at, end - at, etag)
                with closing(stream):
                    while at < end:
                        free = room[(at - begin) % len(room) :][: min(CHUNK, end - at)]
                        got, error = _fill(stream, free)
                        if self._stop.is_set():
                            raise Stopped
                        if got:
                            write_all(fd, free[:got], at)
                            if digest is not None:
                                digest.update(free[:got])
                            at += got
                            failures = 0
                            self._went(got)
                        if error is not None:
                            raise error
                        if not got:
                            break
                if at == end:
                    return etag
                raise Unavailable(f"{key} breaks off", why=f"{end - at} bytes of it are missing")
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
        """Hash what a file has already."""
        end = at + size
        buffer = self._room(CHUNK)[:CHUNK]
        while at < end:
            if self._stop.is_set():
                raise Stopped
            read = os.preadv(fd, [buffer[: end - at]], at)
            if not read:
                raise Changed("the file was cut while it was written")
            digest.update(buffer[:read])
            at += read

    def _room(self, size: int) -> memoryview:
        """This thread's memory, of that size at least: new memory costs as much as reading does."""
        room: memoryview | None = getattr(self._rooms, "room", None)
        if room is None or len(room) < size:
            room = self._rooms.room = memoryview(bytearray(size))
        return room[:size]


def _fill(stream: Stream, room: memoryview) -> tuple[int, StoreError | None]:
    """Read until memory is full, or no more comes; returns how much, and why not more."""
    got = 0
    try:
        while got < len(room) and (more := stream.readinto(room[got:])):
            got += more
    except StoreError as error:
        return got, error
    return got, None


def write_all(fd: int, data: bytes | memoryview, at: int) -> None:
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
