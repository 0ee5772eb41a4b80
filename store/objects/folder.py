"""An object store in a folder: the same layout as a bucket's, without a network."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

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

    def put_file(self, key: str, source: Path) -> tuple[int, str]:
        """Keep a copy of a file under a key; size and hash come from the read that copies.

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

        digest = self._create(key, chunks(), durable=True)
        return size, digest

    def _create(self, key: str, chunks: Iterable[bytes], *, durable: bool) -> str:
        """Write beside, make it durable, then give it its name, which only one writer gets."""
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        digest = sha256()
        try:
            with open(part, "wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            with suppress(FileExistsError):  # an earlier try got this far
                os.link(part, path)
        finally:
            part.unlink(missing_ok=True)
        return digest.hexdigest()
