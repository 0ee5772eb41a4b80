"""What a launch sends through S3, under names that the instance's bootstrap knows."""

import shutil
import tempfile
import weakref
from hashlib import sha256
from pathlib import Path

from spawn.core.boot import names
from spawn.core.codec import clean
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.store.boot import pins, wheel
from spawn.store.boot.archive import archive
from spawn.store.objects.port import ObjectStore

_BLOCK = 1024 * 1024


class Payload:
    """A launch's objects. Files that were made for it go with it, at `close` or when nobody has it
    any more.

    Args:
        objects: By name: bytes, or a file that nobody changes.
        left_out: What stays here of the folder that is synced, though nothing ignores it.
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
        """Each object's SHA-256, in hex, by name."""
        self._forget = None if folder is None else weakref.finalize(self, _remove, folder)

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        return sum(
            data.stat().st_size if isinstance(data, Path) else len(data)
            for data in self.objects.values()
        )

    def close(self) -> None:
        """Take away what was made for it."""
        if self._forget is not None:
            self._forget()

    def __enter__(self) -> "Payload":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def gather(config: bytes, *, sync: Path | None, setup: Path | None) -> Payload:
    """Make what a launch sends; nothing is sent yet.

    Args:
        config: The configuration's file as it was typed.
        sync: The folder that travels with it.
        setup: The program that root runs on the instance first.

    Raises:
        InvalidArgument: `sync` or `setup` cannot be read, or has nothing in it.
        SpawnError: The package's own metadata, or git, is missing.
    """
    objects: dict[str, bytes | Path] = {
        names.CONFIG: config,
        names.PINS: pins.pins().encode(),
        wheel.name(): wheel.build(),
    }
    if setup is not None:
        objects[names.SETUP] = _read(setup)
    if sync is None:
        return Payload(objects)
    folder = Path(tempfile.mkdtemp(prefix="spawn-launch-"))
    try:
        made = folder / names.ARCHIVE
        with open(made, "xb") as out:
            left_out = archive(sync, out)
        return Payload({**objects, names.ARCHIVE: made}, left_out=left_out, folder=folder)
    except BaseException:
        _remove(folder)
        raise


def send(payload: Payload, store: ObjectStore, launch_id: str) -> None:
    """Bring a launch's objects to the queue's place. What a try before this one brought stays.

    Args:
        store: Rooted at the queue's place.

    Raises:
        SpawnError: Something else is there under a launch's name.
        StoreError: The store does not take them.
    """
    below = names.objects(launch_id)
    for name, data in payload.objects.items():
        key = below + name
        if isinstance(data, Path):
            _, there = store.put_file(key, data)
        else:
            there = store.put(key, data)
        if there != payload.files[name]:
            raise SpawnError(
                f"{store.location}{key} is another object than this launch's",
                why="nothing that is there is written over",
                hint="launch again: another launch has other names",
            )
    store.settle()


def _read(setup: Path) -> bytes:
    shown = clean(str(setup))
    try:
        data = setup.read_bytes()
    except OSError as error:
        raise InvalidArgument(f"{shown} cannot be read", why=error.strerror or "") from None
    if not data.strip():
        raise InvalidArgument(f"{shown} is empty", why="it is to be run on the instance")
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
