"""Put an attempt's results back where its job had left them, on a machine that has not got them."""

import os
from collections.abc import Callable, Container
from contextlib import suppress
from errno import EEXIST, ENOTEMPTY
from hashlib import file_digest, sha256
from pathlib import Path, PurePosixPath

import msgspec

from spawn.core.config.model import JobConfig
from spawn.core.errors import SpawnError
from spawn.core.state import JobState
from spawn.store.durable import sync
from spawn.store.files import read_small, regular
from spawn.store.objects.port import NotThere, ObjectStore
from spawn.store.results.find import Linked, is_behind, may_find
from spawn.store.results.inside import expect_inside
from spawn.store.results.publish import VERSION, Kept, Listed, attempt_prefix

_CHUNK = 1024 * 1024


class Gone(Exception):
    """The store does not have the results that the log says it has."""


class Occupied(SpawnError):
    """A folder with files in it is where a file or a link belongs."""


_MOST_BYTES = 64 * 1024 * 1024
"""Of what was restored: some hundred thousand jobs."""


class Restored:
    """The jobs whose results were restored on this machine, one line each in a queue's folder. They
    are not restored again by the next runner: a job may have changed the files since.

    Args:
        folder: The queue's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "restored"
        self._known: set[str] = set()
        with suppress(OSError):  # what is not known is restored once more
            text = read_small(self._path, _MOST_BYTES).decode("ascii", "replace")
            self._known.update(text.split("\n"))

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

    A file that is there and agrees is left; any other gives way, as it would to the job itself. So
    does a link in a result folder: nothing is written through one. Modes and times are those that
    the files had. Links come last. May be repeated.

    Args:
        job: With its `ResultsUploaded`.
        mine: Whether a path is for this job to put back.

    Returns:
        How many files were brought.

    Raises:
        Gone: The list or a file is not in the store, or not what the log and the list say.
        StoreError: The store fails.
        Occupied: A folder with files in it is in the way.
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
    listed = _listed(store, key, digest)
    links = {link.path for link in listed.links}
    places = _Places(job, links)
    for empty in listed.folders:
        path = places.path(empty.path, empty.path)
        if mine(str(path)):
            places.make(path)
    for file in listed.files:
        try:
            path = places.path(file.place, file.path)
        except ValueError:
            raise Gone(f"{file.path} has no place") from None
        if not mine(str(path)):
            continue
        places.make(path.parent)
        if not _agrees(path, file):
            _bring(store, f"{folder}{file.name}", path, file)
            brought += 1
    for link in listed.links:
        path = places.path(link.path, link.path)
        places.expect_inside(link)
        if mine(str(path)):
            places.make(path.parent)
            _link(path, link.target)
    return brought


def _listed(store: ObjectStore, key: str, digest: str) -> Listed:
    try:
        data = store.read(key).data
    except NotThere:
        raise Gone(f"{key} is not in the object store") from None
    if sha256(data).hexdigest() != digest:
        raise Gone(f"{key} is not the list that the log knows")
    try:
        listed = msgspec.json.decode(data, type=Listed)
    except msgspec.DecodeError as error:
        raise Gone(f"{key} cannot be read: {error}") from None
    if listed.v > VERSION:
        raise Gone(f"{key} is of a newer version of spawn")
    return listed


class _Places:
    """Where what a list names belongs on this machine.

    Args:
        links: The paths of the list's links.
    """

    def __init__(self, job: JobConfig, links: Container[str]) -> None:
        self._job = job
        self._links = links
        self._made: set[Path] = set()

    def path(self, place: str, shown: str) -> Path:
        """Where something belongs: only where the job's own patterns could have found it.

        Raises:
            Gone: They could not.
        """
        path = PurePosixPath(place)
        plain = path.is_absolute() and ".." not in path.parts and "\0" not in place
        if not plain or not self._may_find(place) or is_behind(place, self._links):
            raise Gone(f"{shown} is no result of job {self._job.job_id}")
        return Path(place)

    def make(self, folder: Path) -> None:
        """Make a folder. A link or a file below a result folder gives way to it."""
        for each in (*reversed(folder.parents), folder):
            if each in self._made:
                continue
            other = each.is_symlink() or (each.exists() and not each.is_dir())
            if other and self._may_find(str(each.parent)):
                each.unlink()
            if not each.is_dir():
                each.mkdir(exist_ok=True)
            self._made.add(each)

    def expect_inside(self, link: Linked) -> None:
        """See that a link leads to what the job's own patterns could have found.

        Raises:
            Gone: It does not.
        """
        folder = PurePosixPath(link.path).parent
        leads_to = os.path.normpath(folder / link.target)
        try:
            expect_inside(folder.parts[1:], link.target)
        except ValueError as error:
            raise Gone(f"{link.path} is no result of job {self._job.job_id}: {error}") from None
        if not self._may_find(leads_to):
            raise Gone(f"{link.path} leads out of the results of job {self._job.job_id}")

    def _may_find(self, path: str) -> bool:
        return may_find(self._job.result_files, self._job.working_directory, path)


def _link(path: Path, target: str) -> None:
    """Make a link, where that is not there."""
    if path.is_symlink() and str(path.readlink()) == target:
        return
    part = path.with_name(f".{path.name[:100]}.link.part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    try:
        _remove_empty_folder(path)
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _remove_empty_folder(path: Path) -> None:
    """Remove a folder where a file or a link belongs.

    Raises:
        Occupied: It has files in it, which may be a user's own.
    """
    if not path.is_dir() or path.is_symlink():
        return
    try:
        path.rmdir()
    except OSError as error:
        if error.errno not in (ENOTEMPTY, EEXIST):
            raise
        raise Occupied(
            f"{path} is a folder with files in it, where a result of the job belongs",
            why="the restore does not delete it, and continues when the folder is moved away",
        ) from None


def _agrees(path: Path, file: Kept) -> bool:
    try:
        if path.is_symlink() or path.stat().st_size != file.size:
            return False
        with open(path, "rb", opener=regular) as there:
            return file_digest(there, "sha256").hexdigest() == file.sha256
    except OSError:
        return False


def _bring(store: ObjectStore, key: str, path: Path, file: Kept) -> None:
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
        _remove_empty_folder(path)
        part.replace(path)
        sync(path.parent)
    except NotThere:
        raise Gone(f"{key} is not in the object store") from None
    finally:
        part.unlink(missing_ok=True)
