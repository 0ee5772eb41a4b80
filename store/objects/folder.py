"""An object store in a folder: the same layout as a bucket's, without a network."""

import os
from collections.abc import Callable, Iterable, Iterator
from hashlib import file_digest, sha256
from pathlib import Path
from secrets import token_hex

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
        """Write beside, make it durable, then give it its name, which only one writer gets."""
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{token_hex(8)}.part")
        digest = sha256()
        try:
            with open(part, "wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            if accept is not None:
                accept()
            os.link(part, path)
        except FileExistsError:  # an earlier try got this far
            with open(path, "rb") as there:
                return file_digest(there, "sha256").hexdigest()
        finally:
            part.unlink(missing_ok=True)
        if durable:
            self._sync_folders(path.parent)
        return digest.hexdigest()

    def _sync_folders(self, folder: Path) -> None:
        """Make a name durable: its folder, and those above, which may be new."""
        for each in (folder, *folder.parents):
            sync(each)
            if each == self._root.parent:
                return
