"""A job's attempts, and streams that read their output from a file or an object store."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from msgspec import Struct

from spawn.core.domain.codec import decode
from spawn.core.domain.events import JobStarted
from spawn.core.domain.replay import Row
from spawn.core.errors import SpawnError
from spawn.store.files import open_regular
from spawn.store.objects.interface import ObjectNotFound, ObjectStore
from spawn.store.results import output_pieces

_CHUNK = 1024 * 1024


class StartedAttempt(Struct, frozen=True):
    """A started attempt. `folder` is its folder on its machine; `prefix` is that of its output in
    the object store, with a trailing slash."""

    number: int
    folder: Path
    prefix: str


class OutputStream(Protocol):
    """The stdout or stderr of one attempt, which may still grow."""

    def copy_to(self, out: IO[bytes], *, ended: bool) -> None:
        """Write all bytes that were not written before.

        Args:
            ended: Whether the attempt has ended, so that the stream is complete.
        """
        ...

    @property
    def whole(self) -> bool:
        """Whether the complete stream was written, if the attempt has ended."""
        ...

    def close(self) -> None:
        """Release resources."""
        ...


def started_attempts(rows: Iterable[Row], job_id: str) -> list[StartedAttempt]:
    """The started attempts of a job, oldest first."""
    found = []
    for _, type_, line, _ in rows:
        if type_ != b"JobStarted":
            continue
        event = decode(line, type_)
        if event is None or event.job_id != job_id or event.attempt is None:
            continue
        if isinstance(event.data, JobStarted) and event.data.folder:
            prefix = f"{job_id}/attempts/{event.epoch}.{event.attempt}/"
            found.append(StartedAttempt(event.attempt, Path(event.data.folder), prefix))
    return found


class FileStream:
    """A `OutputStream` of a file on this machine.

    Raises:
        FileNotFoundError: The file does not exist.
    """

    whole = True

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb", opener=open_regular)  # noqa: SIM115, closed by `close`

    def copy_to(self, out: IO[bytes], *, ended: bool) -> None:
        while chunk := os.read(self._file.fileno(), _CHUNK):
            out.write(chunk)
        out.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class StoredStream:
    """A `OutputStream` in an object store: one object after the attempt has ended, pieces before.

    Args:
        name: `stdout.log` or `stderr.log`.
    """

    def __init__(self, objects: ObjectStore, attempt: StartedAttempt, name: str) -> None:
        self._objects = objects
        self._attempt = attempt
        self._name = name
        self._at = 0
        self.whole = False

    def expect(self) -> None:
        """Check that the store has the stream or pieces of it.

        Raises:
            SpawnError: It has neither.
        """
        key = self._attempt.prefix + self._name
        if self._objects.has(key):
            return
        if (
            next(output_pieces.list_pieces(self._objects, self._attempt.prefix, self._name), None)
            is None
        ):
            raise SpawnError(
                f"the {self._name} of attempt {self._attempt.number} is gone",
                why=f"it is neither in {self._attempt.folder} nor at "
                f"{self._objects.location}{self._attempt.prefix}",
            )

    def copy_to(self, out: IO[bytes], *, ended: bool) -> None:
        if ended and not self.whole:
            with (
                suppress(ObjectNotFound),
                self._objects.open(self._attempt.prefix + self._name) as file,
            ):
                _skip(file, self._at)
                while chunk := file.read(_CHUNK):
                    self._write(out, chunk)
                self.whole = True
        if not self.whole:
            for piece in output_pieces.read_pieces(
                self._objects, self._attempt.prefix, self._name, after=self._at
            ):
                self._write(out, piece)
        out.flush()

    def _write(self, out: IO[bytes], data: bytes) -> None:
        out.write(data)
        self._at += len(data)

    def close(self) -> None:
        """Do nothing: no resource is open."""


def _skip(file: BinaryIO, count: int) -> None:
    while count and (chunk := file.read(min(_CHUNK, count))):
        count -= len(chunk)
