"""List the files of an attempt that the store has, and those that are missing."""

from collections.abc import Iterator, Mapping
from hashlib import sha256

import msgspec
from msgspec import Struct, structs

from spawn.core.domain.events import ResultsUploaded
from spawn.core.domain.state import JobState
from spawn.store.objects.interface import ObjectNotFound, ObjectStore, StoreError, list_all
from spawn.store.results import output_pieces
from spawn.store.results.checkpoint import FOLDER, LIST
from spawn.store.results.find import EmptyFolder, ResultLink
from spawn.store.results.upload import VERSION, Checksum

FACTS = ("exit_code", "metadata.json")
LOGS = ("stdout.log", "stderr.log")
UNSAVED = "results"
"""The name of an item that reports missing results."""
COMPARE_BYTES = 256 * 1024
"""Smaller output is downloaded again, not compared."""
MANIFEST = "manifest.json"
_FACTS = "metadata.json"


class ExpectedFile(Struct, frozen=True):
    """A file as a list describes it. `mode` is that of the original file."""

    name: str
    size: int
    sha256: str
    mode: int = 0o644


class DownloadChoice(Struct, frozen=True, kw_only=True):
    """A job and which of its files to download; always includes `exit_code` and `metadata.json`.

    `earlier` is the prefix of the attempt before the newest, with a trailing slash. Its files, but
    no results, are used while the newest attempt has none.
    """

    job: JobState
    logs: bool = True
    results: bool = True
    earlier: str = ""


class _Manifest(Struct, frozen=True):
    files: tuple[ExpectedFile, ...] = ()
    links: tuple[ResultLink, ...] = ()
    folders: tuple[EmptyFolder, ...] = ()
    v: int = 1


class _Metadata(Struct, frozen=True):
    output: dict[str, Checksum] = {}


class Item(Struct, frozen=True, kw_only=True):
    """A file to download, or one with an `error`; or a link with its target; or an empty folder.

    `prefix` is that of its attempt.
    """

    name: str
    prefix: str = ""
    size: int = 0
    known: ExpectedFile | None = None
    verified: bool = True
    pieces: bool = False
    link: str = ""
    folder: bool = False
    error: str = ""


def items(objects: ObjectStore, choice: DownloadChoice, prefix: str) -> Iterator[Item]:
    """List an attempt's files and what is missing: output, metadata, results, other objects."""
    names = {key.removeprefix(prefix): size for key, size in list_all(objects, prefix)}
    manifest, broken = _Manifest(), ""
    if choice.results:
        manifest, broken = _manifest(objects, choice.job, prefix)
    if broken:
        yield Item(name=MANIFEST, error=broken)
    if choice.results and (missing := _unsaved(choice.job)):
        yield Item(name=UNSAVED, error=missing)
    if choice.logs:
        output = _output_hashes(objects, prefix, names)
        for log in LOGS:
            if log in names:
                known = output.get(log)
                yield Item(name=log, prefix=prefix, size=names[log], known=known)
            elif size := _size_of_pieces(names, log):
                yield Item(name=log, prefix=prefix, size=size, pieces=True)
    for name in FACTS:
        if name in names:
            yield Item(name=name, prefix=prefix, size=names[name])
    own = {MANIFEST, *LOGS, *FACTS}
    if not choice.results:
        return
    for file in sorted(manifest.files, key=lambda file: file.name):
        name = f"results/{file.name}"
        own.add(name)
        if name not in names:
            error = "it is not in the object store"
        elif names[name] != file.size:
            error = f"it has {names[name]} bytes in the object store instead of {file.size}"
        else:
            yield Item(name=name, prefix=prefix, size=file.size, known=file)
            continue
        yield Item(name=name, size=file.size, error=error)
    yield from _links_and_folders(manifest, "results/")
    for item in _checkpoint(objects, choice.job, prefix, names):
        own.add(item.name)
        yield item
    for name in sorted(names.keys() - own):
        if not name.startswith(output_pieces.FOLDER):
            yield Item(name=name, prefix=prefix, size=names[name], verified=False)


def _checkpoint(
    objects: ObjectStore, job: JobState, prefix: str, names: Mapping[str, int]
) -> Iterator[Item]:
    """The files of the attempt's checkpoint, if the log has one of this attempt."""
    saved = job.checkpoint
    if saved is None or saved.key != prefix + LIST:
        return
    manifest, broken = _read_list(objects, saved.key, saved.sha256)
    if broken:
        yield Item(name=LIST, error=broken)
        return
    listed = ExpectedFile(LIST, names.get(LIST, 0), saved.sha256)
    files = (structs.replace(each, name=FOLDER + each.name) for each in manifest.files)
    for known in (listed, *files):
        if names.get(known.name) == known.size:
            yield Item(name=known.name, prefix=prefix, size=known.size, known=known)
        else:
            error = f"it is not in the object store as {LIST} lists it"
            yield Item(name=known.name, size=known.size, error=error)
    yield from _links_and_folders(manifest, FOLDER)


def _links_and_folders(manifest: _Manifest, below: str) -> Iterator[Item]:
    """The links and the empty folders of a manifest."""
    for folder in manifest.folders:
        yield Item(name=below + folder.name, folder=True)
    for link in manifest.links:
        yield Item(name=below + link.name, link=link.target)


def _unsaved(job: JobState) -> str:
    """Why the store lacks results of a completed job; empty if it has them all."""
    if job.state != "completed" or not job.config.result_files or job.uploaded:
        return ""
    if job.upload_failed:
        return f"they are not saved: {job.upload_failed.error}"
    return "they are not all saved yet"


def _output_hashes(
    objects: ObjectStore, prefix: str, names: Mapping[str, int]
) -> dict[str, ExpectedFile]:
    """The hashes of large output, from the attempt's metadata, to skip identical files."""
    if max((names.get(log, 0) for log in LOGS), default=0) < COMPARE_BYTES or _FACTS not in names:
        return {}
    try:
        hashes = msgspec.json.decode(objects.read(prefix + _FACTS).data, type=_Metadata).output
    except (ObjectNotFound, StoreError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return {
        log: ExpectedFile(log, checksum.size, checksum.sha256)
        for log, checksum in hashes.items()
        if names.get(log) == checksum.size
    }


def _size_of_pieces(names: Mapping[str, int], log: str) -> int:
    """Size in bytes of the consecutive pieces of a stream."""
    at = 0
    while size := names.get(output_pieces.piece_key("", log, at), 0):
        at += size
    return at


def _manifest(objects: ObjectStore, job: JobState, prefix: str) -> tuple[_Manifest, str]:
    """The manifest whose hash the log has, and the error if it cannot be read."""
    uploaded = job.uploaded
    if not isinstance(uploaded, ResultsUploaded):
        return _Manifest(), ""
    return _read_list(objects, prefix + MANIFEST, uploaded.sha256)


def _read_list(objects: ObjectStore, key: str, digest: str) -> tuple[_Manifest, str]:
    """Read a list and verify its SHA-256; returns the list, and the error if any."""
    try:
        data = objects.read(key).data
    except ObjectNotFound:
        return _Manifest(), "the list of results is not in the object store"
    except StoreError as error:
        return _Manifest(), f"the list of results cannot be read: {error}"
    if sha256(data).hexdigest() != digest:
        return _Manifest(), "the list of results does not match the log"
    try:
        found = msgspec.json.decode(data, type=_Manifest)
    except msgspec.DecodeError as error:
        return _Manifest(), f"the list of results cannot be read: {error}"
    if found.v > VERSION:
        return _Manifest(), "a newer version of spawn wrote the list of results"
    return found, ""
