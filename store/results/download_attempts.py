"""Download the files of attempts into a folder, and verify them."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import file_digest, sha256
from pathlib import Path
from stat import S_ISREG
from threading import Event

from msgspec import Struct, structs

from spawn.store.objects.interface import ETagMismatch, ObjectNotFound, ObjectStore, StoreError
from spawn.store.results import output_pieces
from spawn.store.results.attempt_files import MANIFEST, DownloadChoice, ExpectedFile, Item, items
from spawn.store.results.download_folder import DownloadFolder, expect_inside, fold_case, split_name
from spawn.store.results.download_object import RANGE, Reader, Stopped, write_all
from spawn.store.results.upload import attempt_prefix

FILES_AT_ONCE = 8
RANGES_AT_ONCE = 4
AHEAD = 64
"""Files that are queued or downloaded before the result of the first is taken."""
JOBS_AHEAD = 8


class DownloadedFile(Struct, frozen=True, kw_only=True):
    """The result of downloading one file.

    `name` is its path below the job's folder; `error` is why the download failed. `verified`: its
    bytes match the log, or are its attempt's output. `skipped`: an identical file existed.
    `partial`: it is output so far, of an attempt that runs or whose machine is gone. `link`: the
    target, if it is a link. `folder`: it is an empty folder.
    """

    name: str
    size: int
    verified: bool = True
    skipped: bool = False
    partial: bool = False
    link: str = ""
    folder: bool = False
    error: str = ""


class DownloadedAttempt(Struct, frozen=True):
    """The result of one `Choice`: its files, none if the store has none. `earlier`: they are those
    of the previous attempt."""

    choice: DownloadChoice
    files: list[DownloadedFile]
    earlier: bool = False


class AttemptDownloader:
    """Downloads the files of attempts concurrently. Use it in a `with` statement.

    Args:
        root: Gets a folder for each job. Nothing is written outside it.
        coming: Called with the number of bytes to download, as it becomes known.
        went: Called with the number of bytes downloaded or skipped. Both may be called from any
            thread.

    Raises:
        OSError: The folder cannot be created.
    """

    def __init__(
        self,
        objects: ObjectStore,
        root: Path,
        *,
        coming: Callable[[int], None] = lambda _: None,
        went: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._objects = objects
        self._folder = DownloadFolder(root)
        self._on_total = coming
        self._on_bytes = went
        self._umask = _umask()
        self._stop = Event()
        self._files = ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="file")
        self._ranges = ThreadPoolExecutor(RANGES_AT_ONCE, thread_name_prefix="range")
        self._reader = Reader(objects, self._ranges, self._stop, went)

    def __enter__(self) -> "AttemptDownloader":
        self._folder.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._files.shutdown(cancel_futures=True)
        self._ranges.shutdown(cancel_futures=True)
        self._folder.__exit__(*exception)

    def run(self, choices: Iterable[DownloadChoice]) -> Iterator[DownloadedAttempt]:
        """Download files; yields the result of each choice, in order."""
        open_: deque[Future[DownloadedFile] | DownloadedAttempt] = deque()
        found: list[DownloadedFile] = []

        def take() -> Iterator[DownloadedAttempt]:
            first = open_.popleft()
            if isinstance(first, DownloadedAttempt):
                first.files.extend(found)
                found.clear()
                yield first
            else:
                found.append(first.result())

        for choice, (coming, earlier) in self._list_ahead(choices):
            for item in coming:
                open_.append(self._files.submit(self._download, choice.job.config.job_id, item))
                if len(open_) >= AHEAD:
                    yield from take()
            open_.append(DownloadedAttempt(choice, [], earlier))
        while open_:
            yield from take()

    def _list_ahead(
        self, choices: Iterable[DownloadChoice]
    ) -> Iterator[tuple[DownloadChoice, "_Plan"]]:
        """List the files of each choice, `JOBS_AHEAD` choices ahead of the downloads."""
        ahead: deque[tuple[DownloadChoice, Future[_Plan]]] = deque()
        for choice in choices:
            ahead.append((choice, self._files.submit(self._list_files, choice)))
            if len(ahead) >= JOBS_AHEAD:
                first, future = ahead.popleft()
                yield first, future.result()
        for first, future in ahead:
            yield first, future.result()

    def _list_files(self, choice: DownloadChoice) -> "_Plan":
        earlier = False
        if not choice.job.attempt:
            return [], earlier
        try:
            found = list(items(self._objects, choice, attempt_prefix(choice.job)))
            if not found and choice.earlier:
                earlier = True
                only_logs = structs.replace(choice, results=False)
                found = list(items(self._objects, only_logs, choice.earlier))
        except StoreError as error:
            return [Item(name=MANIFEST, error=str(error))], earlier
        if self._folder.folds:
            found = list(_distinct(found))
        self._on_total(sum(item.size for item in found if not item.error))
        return found, earlier

    def _download(self, job_id: str, item: Item) -> DownloadedFile:
        error, size, skipped = item.error, item.size, False
        try:
            if not error:
                size, skipped = self._copy(job_id, item)
        except ObjectNotFound:
            error = "it was deleted from the object store"
        except ETagMismatch:
            error = "it changed while it was read"
        except Stopped:
            error = "it was interrupted"
        except (OSError, StoreError) as caught:
            error = getattr(caught, "strerror", None) or str(caught)
        except ValueError as caught:
            error = str(caught)
        return DownloadedFile(
            name=item.name,
            size=size,
            verified=item.verified,
            skipped=skipped,
            partial=item.pieces,
            link=item.link,
            folder=item.folder,
            error=error,
        )

    def _copy(self, job_id: str, item: Item) -> tuple[int, bool]:
        """Download a file under a temporary name, verify it, then rename it.

        Returns:
            Its size, and whether it existed.

        Raises:
            ValueError: The name or the contents are invalid.
        """
        *folders, name = split_name(f"{job_id}/{item.name}")
        known = item.known
        if item.folder:
            folders.append(name)
        if item.link:
            expect_inside(folders[2:], item.link)
        with self._folder.folder(tuple(folders)) as folder:
            if item.folder:
                return 0, False
            if item.link:
                return 0, self._folder.link(folder, name, item.link)
            if known is not None and _is_identical(folder, name, known):
                self._on_bytes(known.size)
                return known.size, True
            part = sha256(f"{item.prefix}{item.name}".encode()).hexdigest()[:32]
            fd, tried = self._folder.part(part)
            try:
                size = self._write(item, fd)
                executable = known.mode & 0o111 if known is not None else 0
                os.fchmod(fd, (0o666 | executable) & ~self._umask)
                os.rename(tried, name, src_dir_fd=self._folder.parts, dst_dir_fd=folder)
            except BaseException as error:
                useful = known is not None and known.size > RANGE
                if not useful or isinstance(error, ETagMismatch | ObjectNotFound | ValueError):
                    os.unlink(tried, dir_fd=self._folder.parts)
                raise  # else a retry resumes the partial file
            finally:
                os.close(fd)
        return size, False

    def _write(self, item: Item, fd: int) -> int:
        if item.pieces:
            os.ftruncate(fd, 0)
            size = 0
            for data in output_pieces.read_pieces(self._objects, item.prefix, item.name):
                if self._stop.is_set():
                    raise Stopped
                write_all(fd, data, size)
                size += len(data)
                self._on_bytes(len(data))
            return size
        known = item.known
        if known is None:
            os.ftruncate(fd, 0)
            self._reader.copy(item.prefix + item.name, item.size, fd)
            return item.size
        partial = os.fstat(fd).st_size == known.size > 0
        digest = self._reader.copy(item.prefix + item.name, known.size, fd, resume=partial)
        if digest != known.sha256 and partial:  # the partial file was wrong
            os.ftruncate(fd, 0)
            digest = self._reader.copy(item.prefix + item.name, known.size, fd)
        if digest != known.sha256:
            raise ValueError("its contents do not match the log")
        return known.size


_Plan = tuple[list[Item], bool]
"""The files, and whether they are those of the previous attempt."""


def _distinct(found: Sequence[Item]) -> Iterator[Item]:
    """Keep the first of several names that are one file on this file system."""
    taken: dict[str, str] = {}
    for item in found:
        first = taken.setdefault(fold_case(item.name), item.name)
        if first == item.name or item.error:
            yield item
        else:
            yield structs.replace(item, error=f"on this file system it is the same file as {first}")


def _is_identical(folder: int, name: str, known: ExpectedFile) -> bool:
    """Whether an identical file exists."""
    try:
        existing = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not S_ISREG(existing.st_mode) or existing.st_size != known.size:
            return False
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, dir_fd=folder), "rb") as file:
            return file_digest(file, "sha256").hexdigest() == known.sha256
    except OSError:
        return False


def _umask() -> int:
    """The umask of this process. Source: proc(5)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022
