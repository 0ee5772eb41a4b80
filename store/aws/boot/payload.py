"""The files that a launch uploads to S3 for the instance's bootstrap."""

import shutil
import tempfile
import weakref
from hashlib import sha256
from pathlib import Path

from spawn.core.domain.codec import valid_utf8
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.store.aws.boot import constraints, locations, wheel
from spawn.store.aws.boot.archive import archive
from spawn.store.objects.interface import ObjectStore

_BLOCK = 1024 * 1024


class Payload:
    """A launch's objects. Its temporary folder is deleted at `close` or when it is collected.

    Args:
        objects: Content by name: bytes, or a file that does not change.
        left_out: Entries of the synced folder that are omitted although they are not ignored.
        folder: Temporary folder of the files.
    """

    def __init__(
        self,
        objects: dict[str, bytes | Path],
        *,
        left_out: tuple[str, ...] = (),
        folder: Path | None = None,
    ) -> None:
        self.objects = objects
        self.left_out = left_out
        self.files = {name: _digest(data) for name, data in objects.items()}
        """The hex SHA-256 of each object, by name."""
        self._delete = None if folder is None else weakref.finalize(self, _remove, folder)

    @property
    def size(self) -> int:
        """Total size in bytes."""
        return sum(
            data.stat().st_size if isinstance(data, Path) else len(data)
            for data in self.objects.values()
        )

    def close(self) -> None:
        """Delete the temporary folder."""
        if self._delete is not None:
            self._delete()

    def __enter__(self) -> "Payload":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def create_payload(config: bytes, *, sync: Path | None, setup: Path | None) -> Payload:
    """Create the objects of a launch; uploads nothing.

    Args:
        config: Content of the configuration file.
        sync: Folder to copy to the instance.
        setup: Program that root runs on the instance first.

    Raises:
        InvalidArgument: `sync` or `setup` is unreadable or empty.
        SpawnError: The metadata of the package, or git, is missing.
    """
    objects: dict[str, bytes | Path] = {
        locations.CONFIG: config,
        locations.PINS: constraints.pins().encode(),
        wheel.name(): wheel.build(),
    }
    if setup is not None:
        objects[locations.SETUP] = _read_setup(setup)
    if sync is None:
        return Payload(objects)
    folder = Path(tempfile.mkdtemp(prefix="spawn-launch-"))
    try:
        file = folder / locations.ARCHIVE
        with open(file, "xb") as out:
            left_out = archive(sync, out)
        return Payload({**objects, locations.ARCHIVE: file}, left_out=left_out, folder=folder)
    except BaseException:
        _remove(folder)
        raise


def upload_payload(payload: Payload, store: ObjectStore, launch_id: str) -> None:
    """Upload a launch's objects; objects that an earlier try uploaded are kept.

    Args:
        store: Store with the queue's prefix.

    Raises:
        SpawnError: A different object exists under one of the names.
        StoreError: An upload failed.
    """
    below = locations.launch_prefix(launch_id)
    for name, data in payload.objects.items():
        key = below + name
        if isinstance(data, Path):
            _, stored = store.put_file(key, data)
        else:
            stored = store.put(key, data)
        if stored != payload.files[name]:
            raise SpawnError(
                f"{store.location}{key} already exists with different content",
                why="spawn does not overwrite objects",
                hint="launch again: each launch uses new names",
            )
    store.flush()


def _read_setup(setup: Path) -> bytes:
    shown = valid_utf8(str(setup))
    try:
        data = setup.read_bytes()
    except OSError as error:
        raise InvalidArgument(f"{shown} cannot be read", why=error.strerror or "") from None
    if not data.strip():
        raise InvalidArgument(f"{shown} is empty", why="a setup is a script or program")
    return data


def _digest(data: bytes | Path) -> str:
    got = sha256()
    if isinstance(data, bytes):
        got.update(data)
    else:
        with open(data, "rb") as file:
            while block := file.read(_BLOCK):
                got.update(block)
    return got.hexdigest()


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
