"""The list of an attempt's result files, made before the job counts as completed."""

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from spawn.core.config.model import JobConfig
from spawn.core.events import Results
from spawn.store import kept
from spawn.store.durable import MANY, sync
from spawn.store.failpoints import reached
from spawn.store.files import replace
from spawn.store.results.find import Folder, Found, Linked, find

NAME = "manifest.json"
_MOST_BYTES = 1024 * 1024 * 1024
"""Of a list: some millions of files."""


class Manifest(Struct, frozen=True, kw_only=True):
    """What an attempt leaves; in its folder before the upload, so that none is forgotten."""

    files: tuple[Found, ...]
    unmatched: tuple[str, ...] = ()
    links: tuple[Linked, ...] = ()
    folders: tuple[Folder, ...] = ()
    left_out: tuple[str, ...] = ()


def collect(job: JobConfig, folder: Path) -> Results:
    """Find a job's result files, make them durable, and write the manifest durably.

    Raises:
        OSError: A folder cannot be read, or the manifest cannot be written.
    """
    reached("publisher.collecting")
    found = find(job.result_files, job.working_directory)
    files = found.files
    if len(files) > MANY:
        os.sync()
    for file in files if len(files) <= MANY else ():
        with suppress(OSError):  # gone or unreadable: the upload will say so
            sync(file.place)
    data = msgspec.json.encode(Manifest(**structs.asdict(found)))
    replace(folder / NAME, data, durable=True)
    sync(folder)
    reached("publisher.manifest")
    return Results(
        files=len(files), size=sum(file.size for file in files), sha256=sha256(data).hexdigest()
    )


def is_collected(folder: Path) -> bool:
    """Whether an attempt's results were listed."""
    return (folder / NAME).exists()


def load(folder: Path) -> Manifest:
    """Read an attempt's manifest.

    Raises:
        OSError: There is none.
        msgspec.DecodeError: It is not a manifest.
    """
    return kept.load(folder / NAME, Manifest, _MOST_BYTES)
