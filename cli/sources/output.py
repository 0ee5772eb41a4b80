"""A job's output: which attempts there are, and where their bytes are."""

import os
from pathlib import Path
from typing import IO

from msgspec import Struct

from spawn.cli.sources.local import LocalQueue
from spawn.core.codec import decode
from spawn.core.errors import SpawnError
from spawn.core.events import JobStarted
from spawn.store.log import read
from spawn.store.paths import Roots

_CHUNK = 1024 * 1024


class Attempt(Struct, frozen=True):
    """An attempt that began. `copy` is where its output is kept once it has ended."""

    number: int
    folder: Path
    copy: Path


def attempts(source: LocalQueue, roots: Roots, job_id: str) -> list[Attempt]:
    """The attempts of a job that ever ran, oldest first."""
    prefix = (source.state.config.result_s3_prefix or source.queue_id).strip("/")
    kept = roots.objects / prefix / job_id / "attempts"
    found = []
    with read.opened(source.paths.events) as connection:
        for _, type_, line, _ in read.rows(connection):
            if type_ != b"JobStarted":
                continue
            event = decode(line, type_)
            if event is None or event.job_id != job_id or event.attempt is None:
                continue
            if isinstance(event.data, JobStarted) and event.data.folder:
                copy = kept / f"{event.epoch}.{event.attempt}"
                found.append(Attempt(event.attempt, Path(event.data.folder), copy))
    return found


class Stream:
    """One stream of an attempt, read as it grows.

    Args:
        name: `stdout.log` or `stderr.log`.

    Raises:
        SpawnError: Its bytes are gone.
    """

    def __init__(self, attempt: Attempt, name: str) -> None:
        for folder in (attempt.folder, attempt.copy):
            try:
                self._file = open(folder / name, "rb")  # noqa: SIM115, it stays open
                return
            except FileNotFoundError:
                continue
        raise SpawnError(
            f"the {name} of attempt {attempt.number} is gone",
            why=f"it is neither in {attempt.folder} nor in {attempt.copy}",
        )

    def copy_to(self, out: IO[bytes]) -> None:
        """Write what there is and was not written yet."""
        while chunk := os.read(self._file.fileno(), _CHUNK):
            out.write(chunk)
        out.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
