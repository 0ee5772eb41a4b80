"""Bring an attempt's files from an object store into a folder, and believe none of it unchecked."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct

from spawn.core.events import ResultsUploaded
from spawn.core.state import JobState
from spawn.store.objects.port import NotThere, ObjectStore, StoreError, list_all
from spawn.store.results.publish import attempt_prefix

FACTS = ("exit_code", "metadata.json")
LOGS = ("stdout.log", "stderr.log")
_MANIFEST = "manifest.json"
_CHUNK = 1024 * 1024
_LONGEST_NAME = 255


class Known(Struct, frozen=True):
    """A result file as the manifest promises it. `mode` is that of the file it was."""

    name: str
    size: int
    sha256: str
    mode: int = 0o644


class Fetched(Struct, frozen=True, kw_only=True):
    """What became of one file.

    `name` is its path below the job's folder; `error` says why it is not there. `verified`: its
    bytes are those that the log vouches for. `skipped`: it was there already, and agreed.
    """

    name: str
    size: int
    verified: bool = True
    skipped: bool = False
    error: str = ""


class _Manifest(Struct, frozen=True):
    files: tuple[Known, ...]


def fetch(
    objects: ObjectStore,
    job: JobState,
    folder: Path,
    *,
    logs: bool = True,
    results: bool = True,
    earlier: str = "",
) -> Iterator[Fetched]:
    """Bring the files of a job's newest attempt, or of an earlier one, which has no results.

    Args:
        folder: The job's own; nothing is ever written outside of it.
        logs: Whether its output comes along; `exit_code` and `metadata.json` always do.
        results: Whether its result files come along.
        earlier: Where the files of an earlier attempt are, with a trailing slash.

    Yields:
        Each file, as it has arrived, has failed, or was there.
    """
    prefix = earlier or attempt_prefix(job)
    results = results and not earlier
    found = dict(list_all(objects, prefix))
    manifest, broken = ((), "") if earlier else _manifest(objects, job, prefix)
    known = {f"results/{file.name}": file for file in manifest}
    if broken and results:
        yield Fetched(name=_MANIFEST, size=0, error=broken)
    names = {key.removeprefix(prefix): size for key, size in found.items()}
    if results:
        for name, file in known.items():
            if name not in names:
                yield Fetched(name=name, size=file.size, error="it is not in the object store")
    for name in sorted(names, key=_place):
        size = names[name]
        kind = name in LOGS and logs
        if name == _MANIFEST or not (kind or name in FACTS or (results and name not in LOGS)):
            continue
        yield _bring(objects, prefix + name, name, size, folder, known.get(name))


def _place(name: str) -> tuple[int, str]:
    """Logs come first, then the facts, then everything else."""
    first = (*LOGS, *FACTS)
    return (first.index(name) if name in first else len(first)), name


def _manifest(objects: ObjectStore, job: JobState, prefix: str) -> tuple[tuple[Known, ...], str]:
    """The manifest that the log vouches for, and why there is none where there should be."""
    uploaded = job.uploaded
    if not isinstance(uploaded, ResultsUploaded):
        return (), ""
    try:
        with objects.open(prefix + _MANIFEST) as file:
            data = file.read()
    except NotThere:
        return (), "the list of results is not in the object store"
    except (OSError, StoreError) as error:
        return (), f"the list of results cannot be read: {error}"
    if sha256(data).hexdigest() != uploaded.sha256:
        return (), "the list of results is not the one that the log knows"
    try:
        return msgspec.json.decode(data, type=_Manifest).files, ""
    except msgspec.DecodeError as error:
        return (), f"the list of results cannot be read: {error}"


def _bring(
    objects: ObjectStore, key: str, name: str, size: int, folder: Path, known: Known | None
) -> Fetched:
    own = name in FACTS or name in LOGS
    verified = known is not None or own
    try:
        path = _inside(folder, name)
        if known is not None and _agrees(path, known):
            return Fetched(name=name, size=known.size, skipped=True)
        size = _copy(objects, key, path, known)
    except NotThere:
        why = "it is gone from the object store"
        return Fetched(name=name, size=size, verified=verified, error=why)
    except (OSError, StoreError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return Fetched(name=name, size=size, verified=verified, error=why)
    except ValueError as error:
        return Fetched(name=name, size=size, verified=verified, error=str(error))
    return Fetched(name=name, size=size, verified=verified)


def _copy(objects: ObjectStore, key: str, path: Path, known: Known | None) -> int:
    """Write beside, compare, then give it its name.

    Raises:
        ValueError: It is not what the manifest says.
    """
    part = path.with_name(f".{path.name[:200]}.part")
    digest = sha256()
    size = 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with objects.open(key) as source, open(os.open(part, flags, 0o644), "wb") as out:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                out.write(chunk)
                size += len(chunk)
            if known is not None:
                if digest.hexdigest() != known.sha256:
                    raise ValueError("its bytes are not those that the log knows")
                executable = known.mode & 0o111 & ~_umask()
                os.fchmod(out.fileno(), (0o666 & ~_umask()) | executable)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return size


def _agrees(path: Path, known: Known) -> bool:
    """Whether a file is there already, byte for byte."""
    try:
        if path.is_symlink() or path.stat().st_size != known.size:
            return False
        digest = sha256()
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return False
    return digest.hexdigest() == known.sha256


def _inside(folder: Path, name: str) -> Path:
    """The path of a name that comes from outside, with its folders made.

    Raises:
        ValueError: It would lead out of the folder, or no file can be called so.
        OSError: A folder cannot be made.
    """
    parts = PurePosixPath(name).parts
    if name.startswith("/") or name.endswith("/") or not parts or ".." in parts or "\0" in name:
        raise ValueError("its name leads out of the folder")
    if str(PurePosixPath(name)) != name or any(len(os.fsencode(p)) > _LONGEST_NAME for p in parts):
        raise ValueError("no file can be called so")
    here = folder
    here.mkdir(parents=True, exist_ok=True)
    for part in parts[:-1]:
        here = here / part
        if here.is_symlink():
            raise ValueError(f"a link is in its way: {here}")
        here.mkdir(exist_ok=True)
    path = here / parts[-1]
    if path.is_dir() and not path.is_symlink():
        raise ValueError(f"a folder is in its place: {path}")
    return path


def _umask() -> int:
    """What this process takes from the modes of new files. Source: proc(5)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022
