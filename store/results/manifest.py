"""The list of an attempt's result files, written before the job counts as completed."""

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from spawn.core.config.model import JobConfig
from spawn.core.domain.events import Results
from spawn.store import json_files
from spawn.store.failpoints import reached
from spawn.store.files import MANY, replace, sync
from spawn.store.results.find import Folder, Found, Linked, find

NAME = "manifest.json"
_MAX_BYTES = 1024 * 1024 * 1024
"""Maximum size of a manifest: some millions of files."""


class Manifest(Struct, frozen=True, kw_only=True):
    """The results of an attempt, listed in its folder before the upload so that none is lost."""

    files: tuple[Found, ...]
    unmatched: tuple[str, ...] = ()
    links: tuple[Linked, ...] = ()
    folders: tuple[Folder, ...] = ()
    left_out: tuple[str, ...] = ()


def collect(job: JobConfig, folder: Path) -> Results:
    """Find a job's result files, flush them to disk, and write the manifest.

    Raises:
        OSError: A folder cannot be read, or the manifest cannot be written.
    """
    reached("publisher.collecting")
    found = find(job.result_files, job.working_directory)
    files = found.files
    if len(files) > MANY:
        os.sync()
    for file in files if len(files) <= MANY else ():
        with suppress(OSError):  # missing or unreadable: the upload reports it
            sync(file.place)
    data = msgspec.json.encode(Manifest(**structs.asdict(found)))
    replace(folder / NAME, data, durable=True)
    sync(folder)
    reached("publisher.manifest")
    return Results(
        files=len(files), size=sum(file.size for file in files), sha256=sha256(data).hexdigest()
    )


def is_collected(folder: Path) -> bool:
    """Whether an attempt has a manifest."""
    return (folder / NAME).exists()


def load(folder: Path) -> Manifest:
    """Read an attempt's manifest.

    Raises:
        OSError: The manifest cannot be read.
        msgspec.DecodeError: The manifest is invalid.
    """
    return json_files.load(folder / NAME, Manifest, _MAX_BYTES)
