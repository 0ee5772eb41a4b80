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
from spawn.store.failpoints import mark
from spawn.store.files import SYNC_ALL_THRESHOLD, flush_to_disk, replace_file
from spawn.store.results.find import EmptyFolder, ResultFile, ResultLink, find_results

NAME = "manifest.json"
_MAX_BYTES = 1024 * 1024 * 1024
"""Maximum size of a manifest: some millions of files."""


class Manifest(Struct, frozen=True, kw_only=True):
    """The results of an attempt, listed in its folder before the upload so that none is lost."""

    files: tuple[ResultFile, ...]
    unmatched: tuple[str, ...] = ()
    links: tuple[ResultLink, ...] = ()
    folders: tuple[EmptyFolder, ...] = ()
    left_out: tuple[str, ...] = ()


def write_manifest(job: JobConfig, folder: Path) -> Results:
    """Find a job's result files, flush them to disk, and write the manifest.

    Raises:
        OSError: A folder cannot be read, or the manifest cannot be written.
    """
    mark("publisher.collecting")
    found = find_results(job.result_files, job.working_directory)
    files = found.files
    if len(files) > SYNC_ALL_THRESHOLD:
        os.sync()
    for file in files if len(files) <= SYNC_ALL_THRESHOLD else ():
        with suppress(OSError):  # missing or unreadable: the upload reports it
            flush_to_disk(file.place)
    data = msgspec.json.encode(Manifest(**structs.asdict(found)))
    replace_file(folder / NAME, data, durable=True)
    flush_to_disk(folder)
    mark("publisher.manifest")
    return Results(
        files=len(files), size=sum(file.size for file in files), sha256=sha256(data).hexdigest()
    )


def has_manifest(folder: Path) -> bool:
    """Whether an attempt has a manifest."""
    return (folder / NAME).exists()


def read_manifest(folder: Path) -> Manifest:
    """Read an attempt's manifest.

    Raises:
        OSError: The manifest cannot be read.
        msgspec.DecodeError: The manifest is invalid.
    """
    return json_files.load(folder / NAME, Manifest, _MAX_BYTES)
