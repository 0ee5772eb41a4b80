"""An object store in a local folder, with the layout of a bucket."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EINVAL, EISDIR, EOPNOTSUPP
from fcntl import LOCK_EX, flock
from hashlib import file_digest, md5, sha256
from itertools import islice
from operator import itemgetter
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, cast

from spawn.store.files import (
    SYNC_ALL_THRESHOLD,
    flush_to_disk,
    open_following_links,
    open_regular,
    replace_file,
)
from spawn.store.objects.interface import (
    PAGE,
    ETagMismatch,
    Object,
    ObjectExists,
    ObjectNotFound,
    Stream,
    Unavailable,
)

_CHUNK = 1024 * 1024


class FolderStore:
    """Stores objects as files. Only `replace` overwrites an object.

    Args:
        root: The folder; created with the first object.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unsettled: deque[Path] = deque()

    @property
    def location(self) -> str:
        """The absolute path with a trailing slash."""
        return f"{self._root}/"

    @property
    def is_remote(self) -> bool:
        return False

    def has(self, key: str) -> bool:
        return (self._root / key).exists()

    def create(self, key: str, data: bytes) -> str:
        with _unavailable(key):
            self._link_new(key, [data], durable=True)
        return _etag(data)

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """A lock on the folder makes the replacement atomic."""
        path = self._root / key
        with _unavailable(key):
            try:
                folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise ETagMismatch from None
            try:
                flock(folder, LOCK_EX)
                try:
                    if _etag(_read(path)) != etag:
                        raise ETagMismatch
                except FileNotFoundError:
                    raise ETagMismatch from None
                replace_file(path, data, durable=True)
                os.fsync(folder)
            finally:
                os.close(folder)
        return _etag(data)

    def read(self, key: str) -> Object:
        with _unavailable(key):
            try:
                with open(self._root / key, "rb", opener=open_regular) as file:
                    data = file.read()
                    written = os.fstat(file.fileno()).st_mtime
            except FileNotFoundError:
                raise ObjectNotFound(key) from None
        return Object(data, _etag(data), max(0.0, time.time() - written))

    def list(self, prefix: str, after: str = "") -> list[tuple[str, int]]:
        with _unavailable(prefix):
            return list(islice(_walk(self._root / prefix, prefix, after), PAGE))

    def open(self, key: str) -> BinaryIO:
        with _unavailable(key):
            try:
                return open(self._root / key, "rb", opener=open_regular)
            except FileNotFoundError:
                raise ObjectNotFound(key) from None

    def open_range(self, key: str, at: int, size: int, etag: str = "") -> tuple[Stream, str]:
        file = self.open(key)
        with _unavailable(key):
            there = os.fstat(file.fileno())
            found = f"{there.st_ino}-{there.st_size}-{there.st_mtime_ns}"
            file.seek(at)
        if etag and found != etag:
            file.close()
            raise ETagMismatch(key)
        return cast("Stream", file), found

    def put(self, key: str, data: bytes, *, durable: bool = True) -> str:
        with _unavailable(key):
            if not self.has(key):
                with suppress(ObjectExists):
                    return self._link_new(key, [data], durable=durable)
            return self._existing(key)[1]

    def link(self, key: str, source: Path) -> None:
        """Makes a hard link if possible, else a copy."""
        path = self._root / key
        with _unavailable(key):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, path)
        except FileExistsError:
            pass  # an earlier try created it
        except OSError:  # another disk, or no hard links
            self.put_file(key, source)

    def put_file(
        self, key: str, source: Path, *, accept: Callable[[], None] | None = None
    ) -> tuple[int, str]:
        size = 0

        def chunks() -> Iterator[bytes]:
            nonlocal size
            with _source_errors():
                while chunk := file.read(_CHUNK):
                    size += len(chunk)
                    yield chunk
                if accept is not None:
                    accept()

        with open(source, "rb", opener=open_following_links) as file:
            try:
                with _unavailable(key):
                    if not self.has(key):
                        with suppress(ObjectExists):
                            digest = self._link_new(key, chunks(), durable=False)
                            self._unsettled.append(self._root / key)
                            return size, digest
                    self._unsettled.append(self._root / key)  # perhaps not flushed yet
                    return self._existing(key)
            except _SourceError as error:
                raise error.error from None

    def flush(self) -> None:
        """Flushes each file, or the whole disk if there are many."""
        paths = [self._unsettled.popleft() for _ in range(len(self._unsettled))]
        if len(paths) > SYNC_ALL_THRESHOLD:
            os.sync()
            return
        try:
            with _unavailable("a copied file"):
                for path in paths:
                    flush_to_disk(path)
                for folder in {path.parent for path in paths}:
                    self._sync_folders(folder)
        except BaseException:
            self._unsettled.extend(paths)
            raise

    def _existing(self, key: str) -> tuple[int, str]:
        """Size and SHA-256 of an object that an earlier try created."""
        with open(self._root / key, "rb", opener=open_regular) as file:
            return os.fstat(file.fileno()).st_size, file_digest(file, "sha256").hexdigest()

    def _link_new(self, key: str, chunks: Iterable[bytes], *, durable: bool) -> str:
        """Write an unnamed file, flush it, then link it to its name: only one writer succeeds."""
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = sha256()
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with _unnamed(folder) as (file, name):
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
                os.link(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except FileExistsError:
            raise ObjectExists(key) from None
        finally:
            os.close(folder)
        if durable:
            self._sync_folders(path.parent)
        return digest.hexdigest()

    def _sync_folders(self, folder: Path) -> None:
        """Make a name durable: flush its folder and the parents, which may be new."""
        for each in (folder, *folder.parents):
            flush_to_disk(each)
            if each == self._root.parent:
                return


def _read(path: Path) -> bytes:
    with open(path, "rb", opener=open_regular) as file:
        return file.read()


def _walk(folder: Path, prefix: str, after: str) -> Iterator[tuple[str, int]]:
    """The files below a folder whose keys sort after `after`, in key order."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(
                (
                    (f"{each.name}/" if each.is_dir(follow_symlinks=False) else each.name, each)
                    for each in entries
                ),
                key=itemgetter(0),
            )
    except (FileNotFoundError, NotADirectoryError):
        return
    for name, entry in found:
        key = prefix + name
        if name.endswith("/"):
            if key > after or after.startswith(key):
                yield from _walk(folder / entry.name, key, after)
        elif key > after and not (name.startswith(".") and name.endswith(".part")):
            yield key, entry.stat(follow_symlinks=False).st_size


def _etag(data: bytes) -> str:
    return md5(data, usedforsecurity=False).hexdigest()


@contextmanager
def _unavailable(key: str) -> Iterator[None]:
    """Translate errors of the disk into `Unavailable`."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{key} cannot be accessed in the object folder", why=error.strerror or str(error)
        ) from error


class _SourceError(Exception):
    """The source file fails, not the disk with the objects."""

    def __init__(self, error: OSError) -> None:
        self.error = error


@contextmanager
def _source_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _SourceError(error) from None


@contextmanager
def _unnamed(folder: int) -> Iterator[tuple[BinaryIO, str]]:
    """Create an unnamed file, which vanishes with the process; yields it and the path to link.

    On a file system without unnamed files, it has a temporary name.
    """
    try:
        fd = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=folder)
    except OSError as error:
        if error.errno not in (EOPNOTSUPP, EISDIR, EINVAL):
            raise
    else:
        with open(fd, "wb") as file:
            yield file, f"/proc/self/fd/{fd}"
        return
    part = f".{token_hex(8)}.part"
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    try:
        with open(os.open(part, flags, 0o644, dir_fd=folder), "wb") as file:
            yield file, part
    finally:
        os.unlink(part, dir_fd=folder)
