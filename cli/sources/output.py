"""A job's output: which attempts there are, and where their bytes are."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from msgspec import Struct

from spawn.core.codec import decode
from spawn.core.errors import SpawnError
from spawn.core.events import JobStarted
from spawn.core.replay import Row
from spawn.store.files import regular
from spawn.store.objects.port import NotThere, ObjectStore
from spawn.store.results import parts

_CHUNK = 1024 * 1024


class Attempt(Struct, frozen=True):
    """An attempt that began. `folder` is that of its machine; `prefix` is where its output is kept
    in the object store, with a trailing slash."""

    number: int
    folder: Path
    prefix: str


class Stream(Protocol):
    """One stream of an attempt, read as it grows."""

    def copy_to(self, out: IO[bytes], *, ended: bool) -> None:
        """Write what there is and was not written yet.

        Args:
            ended: Whether the attempt is over: nothing more will come.
        """
        ...

    @property
    def whole(self) -> bool:
        """Whether all was written, once the attempt is over."""
        ...

    def close(self) -> None:
        """Give up what it holds."""
        ...


def attempts(rows: Iterable[Row], job_id: str) -> list[Attempt]:
    """The attempts of a job that ever ran, oldest first."""
    found = []
    for _, type_, line, _ in rows:
        if type_ != b"JobStarted":
            continue
        event = decode(line, type_)
        if event is None or event.job_id != job_id or event.attempt is None:
            continue
        if isinstance(event.data, JobStarted) and event.data.folder:
            prefix = f"{job_id}/attempts/{event.epoch}.{event.attempt}/"
            found.append(Attempt(event.attempt, Path(event.data.folder), prefix))
    return found


class FileStream:
    """A stream in a file of this machine.

    Raises:
        FileNotFoundError: It is not there.
    """

    whole = True

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb", opener=regular)  # noqa: SIM115, it stays open

    def copy_to(self, out: IO[bytes], *, ended: bool) -> None:
        """See `Stream.copy_to`."""
        while chunk := os.read(self._file.fileno(), _CHUNK):
            out.write(chunk)
        out.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class StoredStream:
    """A stream in an object store: whole once its attempt has ended, in pieces before.

    Args:
        name: `stdout.log` or `stderr.log`.
    """

    def __init__(self, objects: ObjectStore, attempt: Attempt, name: str) -> None:
        self._objects = objects
        self._attempt = attempt
        self._name = name
        self._at = 0
        self.whole = False
        """See `Stream.whole`."""

    def expect(self) -> None:
        """See that something of it is there.

        Raises:
            SpawnError: Nothing is.
        """
        key = self._attempt.prefix + self._name
        if self._objects.has(key):
            return
        if next(parts.pieces(self._objects, self._attempt.prefix, self._name), None) is None:
            raise SpawnError(
                f"the {self._name} of attempt {self._attempt.number} is gone",
                why=f"it is neither in {self._attempt.folder} nor at "
                f"{self._objects.location}{self._attempt.prefix}",
            )

    def copy_to(self, out: IO[bytes], *, ended: bool) -> None:
        """See `Stream.copy_to`."""
        if ended and not self.whole:
            with suppress(NotThere), self._objects.open(self._attempt.prefix + self._name) as file:
                _skip(file, self._at)
                while chunk := file.read(_CHUNK):
                    self._write(out, chunk)
                self.whole = True
        if not self.whole:
            for piece in parts.read(
                self._objects, self._attempt.prefix, self._name, after=self._at
            ):
                self._write(out, piece)
        out.flush()

    def _write(self, out: IO[bytes], data: bytes) -> None:
        out.write(data)
        self._at += len(data)

    def close(self) -> None:
        """Nothing is held."""


def _skip(file: BinaryIO, count: int) -> None:
    while count and (chunk := file.read(min(_CHUNK, count))):
        count -= len(chunk)
