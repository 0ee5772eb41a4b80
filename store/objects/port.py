"""What the project needs of an object store, and what each one promises.

Keys are relative to the queue's place, with `/` between their parts.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from msgspec import Struct

from spawn.core.errors import SpawnError

PAGE = 1000
"""Keys that one `list` returns at most, as S3's does."""


class StoreError(SpawnError):
    """The store did not do what it was asked to. Whether it took effect is not known.

    `kind` is a word for programs: what sort of trouble it is.
    """

    kind = "failed"


class Unavailable(StoreError):
    """It cannot be reached, or is busy: the same again later may succeed."""

    kind = "unreachable"


class InvalidAnswer(Unavailable):
    """What came is no answer of a store: a proxy or a login page may have answered in its place."""

    kind = "invalid_answer"


class Expired(Unavailable):
    """Our credentials have expired: the same again with renewed ones may succeed."""

    kind = "expired_credentials"


class Denied(StoreError):
    """It refuses us, or what we ask for is not there: a person must do something."""

    kind = "refused"


class NoBucket(Denied):
    """There is no such bucket."""

    kind = "no_bucket"


class NotThere(Exception):
    """No object has this key."""


class Exists(Exception):
    """An object has this key already."""


class Changed(Exception):
    """The object is not the one that was expected."""


class Object(Struct, frozen=True):
    """An object as it was read. `age` is seconds since it was written, by the store's own clock;
    `now` is what that said; None: it does not say, or it is this machine's."""

    data: bytes
    etag: str
    age: float
    now: datetime | None = None


class Stream(Protocol):
    """Bytes of an object as they come. Reading raises `StoreError`, too."""

    def read(self, size: int = -1, /) -> bytes | None:
        """The next bytes, `size` at most; none at the end."""
        ...

    def readinto(self, buffer: memoryview, /) -> int | None:
        """The next bytes, into memory of the caller's; returns how many, 0 at the end."""
        ...

    def close(self) -> None:
        """Let the connection go."""
        ...


class SmallObjects(Protocol):
    """Objects that are read and written whole: all that a log's replica needs of a store.

    A write that raised `StoreError` may have taken effect, or may yet: S3 does not tell. Whatever
    returned is durable. Every operation raises `Unavailable` or `Denied`.
    """

    @property
    def location(self) -> str:
        """Where people find it, with a trailing slash."""
        ...

    def create(self, key: str, data: bytes) -> str:
        """Keep bytes under a new key; returns their ETag.

        Of several writers at once one succeeds. A store that ignores conditional writes overwrites
        instead; `probe` finds that out.

        Raises:
            Exists: The key is taken.
        """
        ...

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """Keep other bytes under a key, if they are still those of `etag`; returns the new ETag.

        Raises:
            Changed: They are not, or are not there.
        """
        ...

    def read(self, key: str) -> Object:
        """Read a whole object, small enough for memory.

        Raises:
            NotThere: There is none.
        """
        ...

    def list(self, prefix: str, after: str = "") -> list[tuple[str, int]]:
        """List up to `PAGE` objects below a prefix that ends in a slash: `(key, bytes)`, by key.

        Args:
            after: Only keys that sort after this one. One request.
        """
        ...

    def has(self, key: str) -> bool:
        """Whether there is an object under a key."""
        ...


class ObjectStore(SmallObjects, Protocol):
    """Objects of any size besides, as attempts leave them."""

    @property
    def far(self) -> bool:
        """Whether it is reached over a network: it may fail alone, and what was sent is not read
        back without need."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Read an object from its beginning. Reading raises `StoreError`, too.

        Raises:
            NotThere: There is none.
        """
        ...

    def open_range(self, key: str, at: int, size: int, etag: str = "") -> tuple[Stream, str]:
        """Read part of an object: `size` bytes, at least 1, from byte `at` on.

        Args:
            etag: Which object it must be; empty for any.

        Returns:
            What to read from, which may break off early, and the object's ETag, which is its
            writer's own: two objects of one ETag are the same.

        Raises:
            NotThere: There is none.
            Changed: It is another one.
        """
        ...

    def put(self, key: str, data: bytes, *, durable: bool = True) -> str:
        """Keep bytes under a key, unless it is taken; returns the SHA-256 in hex of what is there.

        Args:
            durable: Whether they must be there after a loss of power.
        """
        ...

    def link(self, key: str, source: Path) -> None:
        """Keep a file that nobody will change again, unless the key is taken.

        Raises:
            OSError: The file cannot be read.
        """
        ...

    def put_file(
        self, key: str, source: Path, *, accept: Callable[[], None] | None = None
    ) -> tuple[int, str]:
        """Keep a copy of a file, unless the key is taken. Durable after `settle`.

        Args:
            accept: Called after the read; what it raises keeps the copy from getting its name. Not
                called where an earlier try had kept the copy.

        Returns:
            `(bytes, SHA-256 in hex)` of the object: of the read that copied, or of what is there.

        Raises:
            OSError: The file cannot be read.
        """
        ...

    def settle(self) -> None:
        """Make every copy of a file durable that `put_file` has made so far."""
        ...


def list_all(store: SmallObjects, prefix: str, after: str = "") -> Iterator[tuple[str, int]]:
    """List every object below a prefix, a page at a time."""
    while page := store.list(prefix, after):
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1][0]
