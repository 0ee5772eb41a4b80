"""The object store interface.

Keys are relative to the queue's location, with `/` between their parts.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from msgspec import Struct

from spawn.core.errors import SpawnError

PAGE = 1000
"""Maximum number of keys that `list` returns, as in S3."""


class StoreError(SpawnError):
    """A request failed. It may have taken effect.

    `kind` is the kind of error, for programs.
    """

    kind = "failed"


class Unavailable(StoreError):
    """The store is unreachable or busy. A retry may succeed."""

    kind = "unreachable"


class InvalidResponse(Unavailable):
    """The response is not a store's. A proxy or a login page may have answered instead."""

    kind = "invalid_answer"


class CredentialsExpired(Unavailable):
    """The credentials have expired. A retry with renewed ones may succeed."""

    kind = "expired_credentials"


class AccessDenied(StoreError):
    """Access is denied, or the resource does not exist. A retry fails until the user acts."""

    kind = "refused"


class BucketNotFound(AccessDenied):
    """The bucket does not exist."""

    kind = "no_bucket"


class ObjectNotFound(Exception):
    """No object has this key."""


class ObjectExists(Exception):
    """An object with this key already exists."""


class ETagMismatch(Exception):
    """The object does not have the expected ETag."""


class Object(Struct, frozen=True):
    """An object and its contents. `age` is the seconds since it was written, by the store's clock;
    `now` is the time of that clock, None if unknown or if the clock is this machine's."""

    data: bytes
    etag: str
    age: float
    now: datetime | None = None


class Stream(Protocol):
    """A stream of an object's bytes. Reads may raise `StoreError`."""

    def read(self, size: int = -1, /) -> bytes | None:
        """Read up to `size` bytes; empty at the end."""
        ...

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read into a buffer; returns the number of bytes, 0 at the end."""
        ...

    def close(self) -> None:
        """Close the stream."""
        ...


class SmallObjects(Protocol):
    """Objects that are read and written whole, which suffices for the replica of a log.

    A write that raises `StoreError` may have taken effect, or may do so later. A write that returns
    is durable. Every operation may raise `Unavailable` or `AccessDenied`.
    """

    @property
    def location(self) -> str:
        """The location for messages, with a trailing slash."""
        ...

    def create(self, key: str, data: bytes) -> str:
        """Create an object; returns its ETag.

        Of concurrent writers one succeeds. A store that ignores conditional writes overwrites the
        object instead; `claim` detects such a store.

        Raises:
            Exists: An object has this key.
        """
        ...

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """Replace an object whose ETag is still `etag`; returns the new ETag.

        Raises:
            Changed: The ETag differs, or no object has this key.
        """
        ...

    def read(self, key: str) -> Object:
        """Read a whole object, small enough for memory.

        Raises:
            NotThere: No object has this key.
        """
        ...

    def list(self, prefix: str, after: str = "") -> list[tuple[str, int]]:
        """List up to `PAGE` objects: `(key, size in bytes)`, sorted by key. Takes one request.

        Args:
            prefix: The keys' prefix; ends with a slash.
            after: Only keys that sort after this one.
        """
        ...

    def has(self, key: str) -> bool:
        """Whether an object has this key."""
        ...


class ObjectStore(SmallObjects, Protocol):
    """Objects of any size, for the files of attempts."""

    @property
    def is_remote(self) -> bool:
        """Whether the store is remote: it can fail independently of this machine, and objects are
        not read back without need."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Open an object for reading. Reads may raise `StoreError`.

        Raises:
            NotThere: No object has this key.
        """
        ...

    def open_range(self, key: str, at: int, size: int, etag: str = "") -> tuple[Stream, str]:
        """Open part of an object: `size` bytes, at least 1, from offset `at`.

        Args:
            etag: The expected ETag; empty for any.

        Returns:
            A stream, which may end early, and the object's ETag. Objects with the same ETag are
            identical.

        Raises:
            NotThere: No object has this key.
            Changed: The ETag differs.
        """
        ...

    def put(self, key: str, data: bytes, *, durable: bool = True) -> str:
        """Create an object unless the key exists; returns the object's SHA-256 in hex.

        Args:
            durable: Whether the object must survive a power failure.
        """
        ...

    def link(self, key: str, source: Path) -> None:
        """Create an object from a file that never changes again, unless the key exists.

        Raises:
            OSError: The file cannot be read.
        """
        ...

    def put_file(
        self, key: str, source: Path, *, accept: Callable[[], None] | None = None
    ) -> tuple[int, str]:
        """Copy a file to an object unless the key exists. Durable after `settle`.

        Args:
            accept: Called after the file was read and before the object is created. If it raises,
                no object is created. Not called if an earlier try created the object.

        Returns:
            `(size in bytes, SHA-256 in hex)` of the object.

        Raises:
            OSError: The file cannot be read.
        """
        ...

    def flush(self) -> None:
        """Make all copies by `put_file` durable."""
        ...


def list_all(store: SmallObjects, prefix: str, after: str = "") -> Iterator[tuple[str, int]]:
    """List every object below a prefix, page by page."""
    while page := store.list(prefix, after):
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1][0]
