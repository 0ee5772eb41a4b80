"""An object store in a folder: the same layout as a bucket's, without a network."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from errno import EINVAL, EISDIR, EOPNOTSUPP
from hashlib import file_digest, sha256
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from spawn.store.durable import sync

_CHUNK = 1024 * 1024


class FolderStore:
    """Objects are files below a folder; an object, once there, is never written again.

    Args:
        root: The folder; made when the first object comes.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def location(self) -> str:
        """Where people find it: an absolute path with a trailing slash."""
        return f"{self._root}/"

    def has(self, key: str) -> bool:
        """Whether there is an object under a key."""
        return (self._root / key).exists()

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            OSError: There is none.
        """
        return (self._root / key).read_bytes()

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Each object below a prefix that ends in a slash: `(key, bytes)`, sorted by key."""
        root = self._root / prefix
        found = []
        for folder, _, files in os.walk(root):
            for name in files:
                path = Path(folder, name)
                found.append((prefix + str(path.relative_to(root)), path.lstat().st_size))
        yield from sorted(found)

    def open(self, key: str) -> BinaryIO:
        """Read an object from its beginning.

        Raises:
            OSError: It is not there, or cannot be read.
        """
        return open(self._root / key, "rb")

    def put(self, key: str, data: bytes, *, durable: bool = True) -> str:
        """Keep bytes under a key; returns their SHA-256 in hex.

        Args:
            durable: Whether they must be there after a loss of power.
        """
        return self._create(key, [data], durable=durable)

    def link(self, key: str, source: Path) -> None:
        """Keep a file that nobody will change again, without a copy where that can be."""
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, path)
        except FileExistsError:
            pass  # an earlier try got this far
        except OSError:  # another disk, or one without links
            self.put_file(key, source)

    def put_file(
        self, key: str, source: Path, *, accept: Callable[[], None] | None = None
    ) -> tuple[int, str]:
        """Keep a copy of a file under a key; size and hash come from the read that copies.

        Args:
            accept: Called after the read; what it raises keeps the copy from getting its name.

        Returns:
            `(bytes, SHA-256 in hex)`.
        """
        size = 0

        def chunks() -> Iterator[bytes]:
            nonlocal size
            with open(source, "rb") as file:
                while chunk := file.read(_CHUNK):
                    size += len(chunk)
                    yield chunk

        digest = self._create(key, chunks(), durable=True, accept=accept)
        return size, digest

    def _create(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        durable: bool,
        accept: Callable[[], None] | None = None,
    ) -> str:
        """Write without a name, make it durable, then give it one, which only one writer gets."""
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
                if accept is not None:
                    accept()
                os.link(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except FileExistsError:  # an earlier try got this far
            with open(path, "rb") as there:
                return file_digest(there, "sha256").hexdigest()
        finally:
            os.close(folder)
        if durable:
            self._sync_folders(path.parent)
        return digest.hexdigest()

    def _sync_folders(self, folder: Path) -> None:
        """Make a name durable: its folder, and those above, which may be new."""
        for each in (folder, *folder.parents):
            sync(each)
            if each == self._root.parent:
                return


@contextmanager
def _unnamed(folder: int) -> Iterator[tuple[BinaryIO, str]]:
    """A new file without a name, gone with the process, and how to link to it.

    Where the file system has none of that kind, one with a name of its own stands in.
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
