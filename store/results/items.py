"""What the store has of an attempt, and what is missing of it."""

from collections.abc import Iterator, Mapping
from hashlib import sha256

import msgspec
from msgspec import Struct, structs

from spawn.core.events import ResultsUploaded
from spawn.core.state import JobState
from spawn.store.objects.port import NotThere, ObjectStore, StoreError, list_all
from spawn.store.results import parts
from spawn.store.results.checkpoint import FOLDER, LIST
from spawn.store.results.find import Folder, Linked
from spawn.store.results.publish import VERSION, Whole

FACTS = ("exit_code", "metadata.json")
LOGS = ("stdout.log", "stderr.log")
UNSAVED = "results"
"""The name under which it is told that results are missing that a job has promised."""
WORTH_KNOWING = 256 * 1024
"""Smaller output is brought again sooner than it is compared, bytes."""
MANIFEST = "manifest.json"
_FACTS = "metadata.json"


class Known(Struct, frozen=True):
    """A result file as the manifest promises it. `mode` is that of the file it was."""

    name: str
    size: int
    sha256: str
    mode: int = 0o644


class Choice(Struct, frozen=True, kw_only=True):
    """A job, and which of its files to bring. `exit_code` and `metadata.json` always come along.

    `earlier`: where the files of the attempt before its newest are, with a trailing slash. They
    stand in while the newest has left nothing; results it has none.
    """

    job: JobState
    logs: bool = True
    results: bool = True
    earlier: str = ""


class _Manifest(Struct, frozen=True):
    files: tuple[Known, ...] = ()
    links: tuple[Linked, ...] = ()
    folders: tuple[Folder, ...] = ()
    v: int = 1


class _Noted(Struct, frozen=True):
    output: dict[str, Whole] = {}


class Item(Struct, frozen=True, kw_only=True):
    """A file that is to be brought, or has an `error` already. `prefix` is its attempt's.

    Or a link, with its target, or a folder, which is empty.
    """

    name: str
    prefix: str = ""
    size: int = 0
    known: Known | None = None
    verified: bool = True
    pieces: bool = False
    link: str = ""
    folder: bool = False
    error: str = ""


def items(objects: ObjectStore, choice: Choice, prefix: str) -> Iterator[Item]:
    """What there is of an attempt, and what is missing: logs, facts, results, then all else."""
    names = {key.removeprefix(prefix): size for key, size in list_all(objects, prefix)}
    manifest, broken = _Manifest(), ""
    if choice.results:
        manifest, broken = _manifest(objects, choice.job, prefix)
    if broken:
        yield Item(name=MANIFEST, error=broken)
    if choice.results and (missing := _unsaved(choice.job)):
        yield Item(name=UNSAVED, error=missing)
    if choice.logs:
        output = _output(objects, prefix, names)
        for log in LOGS:
            if log in names:
                known = output.get(log)
                yield Item(name=log, prefix=prefix, size=names[log], known=known)
            elif size := _length(names, log):
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
    yield from _shapes(manifest, "results/")
    for item in _checkpoint(objects, choice.job, prefix, names):
        own.add(item.name)
        yield item
    for name in sorted(names.keys() - own):
        if not name.startswith(parts.FOLDER):
            yield Item(name=name, prefix=prefix, size=names[name], verified=False)


def _checkpoint(
    objects: ObjectStore, job: JobState, prefix: str, names: Mapping[str, int]
) -> Iterator[Item]:
    """What the attempt has left as it was stopped, where the log vouches for the list of it."""
    saved = job.checkpoint
    if saved is None or saved.key != prefix + LIST:
        return
    manifest, broken = _listed(objects, saved.key, saved.sha256)
    if broken:
        yield Item(name=LIST, error=broken)
        return
    listed = Known(LIST, names.get(LIST, 0), saved.sha256)
    files = (structs.replace(each, name=FOLDER + each.name) for each in manifest.files)
    for known in (listed, *files):
        if names.get(known.name) == known.size:
            yield Item(name=known.name, prefix=prefix, size=known.size, known=known)
        else:
            error = f"it is not in the object store as {LIST} has it"
            yield Item(name=known.name, size=known.size, error=error)
    yield from _shapes(manifest, FOLDER)


def _shapes(manifest: _Manifest, below: str) -> Iterator[Item]:
    """The links and the empty folders of a manifest."""
    for folder in manifest.folders:
        yield Item(name=below + folder.name, folder=True)
    for link in manifest.links:
        yield Item(name=below + link.name, link=link.target)


def _unsaved(job: JobState) -> str:
    """Why the store does not have all results that a job has promised; empty where it has."""
    if job.state != "completed" or not job.config.result_files or job.uploaded:
        return ""
    if job.upload_failed:
        return f"they are not saved: {job.upload_failed.error}"
    return "they are not all saved yet"


def _output(objects: ObjectStore, prefix: str, names: Mapping[str, int]) -> dict[str, Known]:
    """What large output hashes to, as its attempt has noted: so that it need not come twice."""
    if max((names.get(log, 0) for log in LOGS), default=0) < WORTH_KNOWING or _FACTS not in names:
        return {}
    try:
        noted = msgspec.json.decode(objects.read(prefix + _FACTS).data, type=_Noted).output
    except (NotThere, StoreError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return {
        log: Known(log, whole.size, whole.sha256)
        for log, whole in noted.items()
        if names.get(log) == whole.size
    }


def _length(names: Mapping[str, int], log: str) -> int:
    """How much of a stream the store has in pieces that follow each other, bytes."""
    at = 0
    while size := names.get(parts.key("", log, at), 0):
        at += size
    return at


def _manifest(objects: ObjectStore, job: JobState, prefix: str) -> tuple[_Manifest, str]:
    """The manifest that the log vouches for, and why there is none where there should be."""
    uploaded = job.uploaded
    if not isinstance(uploaded, ResultsUploaded):
        return _Manifest(), ""
    return _listed(objects, prefix + MANIFEST, uploaded.sha256)


def _listed(objects: ObjectStore, key: str, digest: str) -> tuple[_Manifest, str]:
    """A list that has this SHA-256, and why there is none."""
    try:
        data = objects.read(key).data
    except NotThere:
        return _Manifest(), "the list of results is not in the object store"
    except StoreError as error:
        return _Manifest(), f"the list of results cannot be read: {error}"
    if sha256(data).hexdigest() != digest:
        return _Manifest(), "the list of results is not the one that the log knows"
    try:
        found = msgspec.json.decode(data, type=_Manifest)
    except msgspec.DecodeError as error:
        return _Manifest(), f"the list of results cannot be read: {error}"
    if found.v > VERSION:
        return _Manifest(), "the list of results is of a newer version of spawn"
    return found, ""
