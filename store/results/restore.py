"""Put an attempt's results back where its job had left them, on a machine that has not got them."""

import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path, PurePosixPath

import msgspec

from spawn.core.config.model import JobConfig
from spawn.core.state import JobState
from spawn.store.durable import sync
from spawn.store.objects.port import NotThere, ObjectStore
from spawn.store.results.find import may_find
from spawn.store.results.publish import Kept, Listed, attempt_prefix

_CHUNK = 1024 * 1024


class Gone(Exception):
    """The store does not have the results that the log says it has."""


class Restored:
    """The jobs whose results were restored on this machine, one line each in a queue's folder. They
    are not restored again by the next runner: a job may have changed the files since.

    Args:
        folder: The queue's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "restored"
        self._known: set[str] = set()
        with suppress(FileNotFoundError):
            self._known.update(self._path.read_text("ascii", "replace").split("\n"))

    def has(self, job: JobState) -> bool:
        """Whether a job's results were restored, and nothing upstream was reset since."""
        return _restored_line(job) in self._known

    def add(self, job: JobState) -> None:
        """Remember that a job's results are restored.

        Raises:
            OSError: That cannot be written.
        """
        line = _restored_line(job)
        with open(self._path, "a", encoding="ascii") as file:
            file.write(f"\n{line}\n")
            file.flush()
            os.fsync(file.fileno())
        self._known.add(line)


def _restored_line(job: JobState) -> str:
    return f"{job.token} {job.upstream_resets}"


def put_back(
    store: ObjectStore, job: JobState, mine: Callable[[str], bool] = lambda _: True
) -> int:
    """Bring the results of a completed job to the paths that they were found at.

    A file that is there and agrees is left; any other gives way, as it would to the job itself.
    Modes and times are those that the files had. May be repeated.

    Args:
        job: With its `ResultsUploaded`.
        mine: Whether a path is for this job to put back.

    Returns:
        How many files were brought.

    Raises:
        Gone: The list or a file is not in the store, or not what the log and the list say.
        StoreError: The store fails.
        OSError: A file cannot be written here.
    """
    saved = job.uploaded
    assert saved is not None
    folder = f"{attempt_prefix(job)}results/"
    return bring(store, job.config, saved.key, saved.sha256, folder, mine)


def bring(
    store: ObjectStore,
    job: JobConfig,
    key: str,
    digest: str,
    folder: str,
    mine: Callable[[str], bool],
) -> int:
    """Bring the files of a list in the store to the paths that it names. See `put_back`.

    Args:
        key: The list's.
        digest: Its SHA-256 in hex.
        folder: Where its files are in the store, with a trailing slash.
    """
    brought = 0
    for file in _listed(store, key, digest).files:
        path = _path(job, file)
        if not mine(str(path)) or _agrees(path, file):
            continue
        _bring(store, f"{folder}{file.name}", path, file)
        brought += 1
    return brought


def _listed(store: ObjectStore, key: str, digest: str) -> Listed:
    try:
        data = store.read(key).data
    except NotThere:
        raise Gone(f"{key} is not in the object store") from None
    if sha256(data).hexdigest() != digest:
        raise Gone(f"{key} is not the list that the log knows")
    try:
        return msgspec.json.decode(data, type=Listed)
    except msgspec.DecodeError as error:
        raise Gone(f"{key} cannot be read: {error}") from None


def _path(job: JobConfig, file: Kept) -> Path:
    """Where a file belongs: only where the job's own patterns could have found it."""
    try:
        place = file.place
    except ValueError:
        raise Gone(f"{file.path} has no place") from None
    path = PurePosixPath(place)
    plain = path.is_absolute() and ".." not in path.parts and "\0" not in place
    if not plain or not may_find(job.result_files, job.working_directory, place):
        raise Gone(f"{file.path} is no result of job {job.job_id}")
    return Path(place)


def _agrees(path: Path, file: Kept) -> bool:
    try:
        if path.is_symlink() or path.stat().st_size != file.size:
            return False
        with open(path, "rb") as there:
            return file_digest(there, "sha256").hexdigest() == file.sha256
    except OSError:
        return False


def _bring(store: ObjectStore, key: str, path: Path, file: Kept) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:100]}.{file.sha256[:16]}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    digest = sha256()
    size = 0
    try:
        with store.open(key) as source, open(os.open(part, flags, 0o600), "wb") as out:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                if size > file.size:
                    break
                out.write(chunk)
            if size != file.size or digest.hexdigest() != file.sha256:
                raise Gone(f"{key} is not what the log knows")
            out.flush()
            os.fchmod(out.fileno(), file.mode & 0o777)
            os.utime(out.fileno(), ns=(file.mtime_ns, file.mtime_ns))
            os.fsync(out.fileno())
        part.replace(path)
        sync(path.parent)
    except NotThere:
        raise Gone(f"{key} is not in the object store") from None
    finally:
        part.unlink(missing_ok=True)
