"""Restore an attempt's results to their original paths, on a machine that lacks them."""

import os
from collections.abc import Callable, Container
from contextlib import suppress
from errno import EEXIST, ENOTEMPTY
from hashlib import file_digest, sha256
from pathlib import Path, PurePosixPath

import msgspec

from spawn.core.config.model import JobConfig
from spawn.core.domain.state import JobState
from spawn.core.errors import SpawnError
from spawn.store.files import flush_to_disk, open_regular, read_small
from spawn.store.objects.interface import ObjectNotFound, ObjectStore
from spawn.store.results.download_folder import expect_inside
from spawn.store.results.find import ResultLink, is_below_link, may_find
from spawn.store.results.upload import VERSION, StoredManifest, UploadedFile, attempt_prefix

_CHUNK = 1024 * 1024


class ResultsMissing(Exception):
    """Results are missing in the store, or do not match the log."""


class PathOccupied(SpawnError):
    """A folder that is not empty has the path of a file or a link."""


_MAX_BYTES = 64 * 1024 * 1024
"""Maximum size of the record: some hundred thousand jobs."""


class RestoreRecord:
    """A record of the jobs whose results were restored on this machine, in a queue's folder. The
    next runner does not restore them again: a job may have changed the files since.

    Args:
        folder: The queue's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "restored"
        self._known: set[str] = set()
        with suppress(OSError):  # results without a record are restored again
            text = read_small(self._path, _MAX_BYTES).decode("ascii", "replace")
            self._known.update(text.split("\n"))

    def has(self, job: JobState) -> bool:
        """Whether a job's results were restored, and nothing upstream was reset since."""
        return _restored_line(job) in self._known

    def add(self, job: JobState) -> None:
        """Record that a job's results are restored.

        Raises:
            OSError: The record cannot be written.
        """
        line = _restored_line(job)
        with open(self._path, "a", encoding="ascii", opener=open_regular) as file:
            file.write(f"\n{line}\n")
            file.flush()
            os.fsync(file.fileno())
        self._known.add(line)


def _restored_line(job: JobState) -> str:
    return f"{job.token} {job.upstream_resets}"


def restore_results(
    store: ObjectStore, job: JobState, may_restore: Callable[[str], bool] = lambda _: True
) -> int:
    """Restore the results of a completed job to their original paths.

    Identical files are kept, others are replaced, as the job itself would do. Links in a result
    folder are replaced, too: nothing is written through a link. Modes and times are restored. Links
    are created last. May be retried.

    Args:
        job: Must have uploaded results.
        mine: Returns whether this job may restore a path.

    Returns:
        The number of files that were downloaded.

    Raises:
        Gone: The list or a file is missing in the store, or does not match the log.
        StoreError: The store fails.
        Occupied: A folder that is not empty is in the way.
        OSError: A file cannot be written.
    """
    saved = job.uploaded
    assert saved is not None
    folder = f"{attempt_prefix(job)}results/"
    return restore_files(store, job.config, saved.key, saved.sha256, folder, may_restore)


def restore_files(
    store: ObjectStore,
    job: JobConfig,
    key: str,
    digest: str,
    folder: str,
    mine: Callable[[str], bool],
) -> int:
    """Restore the files of a list in the store to the paths in it; see `restore_results`.

    Args:
        key: The list's key.
        digest: The list's SHA-256 in hex.
        folder: The prefix of the files in the store, with a trailing slash.
    """
    downloaded = 0
    listed = _read_list(store, key, digest)
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
            raise ResultsMissing(f"{file.path} has an invalid path") from None
        if not mine(str(path)):
            continue
        places.make(path.parent)
        if not _agrees(path, file):
            _download(store, f"{folder}{file.name}", path, file)
            downloaded += 1
    for link in listed.links:
        path = places.path(link.path, link.path)
        places.expect_inside(link)
        if mine(str(path)):
            places.make(path.parent)
            _link(path, link.target)
    return downloaded


def _read_list(store: ObjectStore, key: str, digest: str) -> StoredManifest:
    try:
        data = store.read(key).data
    except ObjectNotFound:
        raise ResultsMissing(f"{key} is not in the object store") from None
    if sha256(data).hexdigest() != digest:
        raise ResultsMissing(f"{key} does not match the log")
    try:
        listed = msgspec.json.decode(data, type=StoredManifest)
    except msgspec.DecodeError as error:
        raise ResultsMissing(f"{key} cannot be read: {error}") from None
    if listed.v > VERSION:
        raise ResultsMissing(f"a newer version of spawn wrote {key}")
    return listed


class _Places:
    """The paths on this machine for the entries of a list.

    Args:
        links: The paths of the list's links.
    """

    def __init__(self, job: JobConfig, links: Container[str]) -> None:
        self._job = job
        self._links = links
        self._made: set[Path] = set()

    def path(self, place: str, shown: str) -> Path:
        """The path of an entry, which must match the job's patterns.

        Raises:
            Gone: It does not match.
        """
        path = PurePosixPath(place)
        plain = path.is_absolute() and ".." not in path.parts and "\0" not in place
        if not plain or not self._may_find(place) or is_below_link(place, self._links):
            raise ResultsMissing(f"{shown} is not a result of job {self._job.job_id}")
        return Path(place)

    def make(self, folder: Path) -> None:
        """Create a folder, in place of a link or a file if that is below a result folder."""
        for each in (*reversed(folder.parents), folder):
            if each in self._made:
                continue
            other = each.is_symlink() or (each.exists() and not each.is_dir())
            if other and self._may_find(str(each.parent)):
                each.unlink()
            if not each.is_dir():
                each.mkdir(exist_ok=True)
            self._made.add(each)

    def expect_inside(self, link: ResultLink) -> None:
        """Check that a link's target matches the job's patterns.

        Raises:
            Gone: It does not match.
        """
        folder = PurePosixPath(link.path).parent
        leads_to = os.path.normpath(folder / link.target)
        try:
            expect_inside(folder.parts[1:], link.target)
        except ValueError as error:
            raise ResultsMissing(
                f"{link.path} is not a result of job {self._job.job_id}: {error}"
            ) from None
        if not self._may_find(leads_to):
            raise ResultsMissing(f"{link.path} leads out of the results of job {self._job.job_id}")

    def _may_find(self, path: str) -> bool:
        return may_find(self._job.result_files, self._job.working_directory, path)


def _link(path: Path, target: str) -> None:
    """Create a link unless it exists."""
    if path.is_symlink() and str(path.readlink()) == target:
        return
    part = path.with_name(f".{path.name[:100]}.link.part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    try:
        _remove_empty_folder(path)
        part.replace(path)
        flush_to_disk(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _remove_empty_folder(path: Path) -> None:
    """Remove an empty folder that has the path of a file or a link.

    Raises:
        Occupied: The folder is not empty. Its files may be the user's own.
    """
    if not path.is_dir() or path.is_symlink():
        return
    try:
        path.rmdir()
    except OSError as error:
        if error.errno not in (ENOTEMPTY, EEXIST):
            raise
        raise PathOccupied(
            f"{path} is a folder with files in it, where a result of the job belongs",
            why="the restore does not delete it, and continues when the folder is moved away",
        ) from None


def _agrees(path: Path, file: UploadedFile) -> bool:
    try:
        if path.is_symlink() or path.stat().st_size != file.size:
            return False
        with open(path, "rb", opener=open_regular) as existing:
            return file_digest(existing, "sha256").hexdigest() == file.sha256
    except OSError:
        return False


def _download(store: ObjectStore, key: str, path: Path, file: UploadedFile) -> None:
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
                raise ResultsMissing(f"{key} does not match the log")
            out.flush()
            os.fchmod(out.fileno(), file.mode & 0o777)
            os.utime(out.fileno(), ns=(file.mtime_ns, file.mtime_ns))
            os.fsync(out.fileno())
        _remove_empty_folder(path)
        part.replace(path)
        flush_to_disk(path.parent)
    except ObjectNotFound:
        raise ResultsMissing(f"{key} is not in the object store") from None
    finally:
        part.unlink(missing_ok=True)
