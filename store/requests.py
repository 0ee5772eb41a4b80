"""What a person asks of a live runner: files in `requests/`, which it answers by events.

A request is durable before anybody is woken, and goes only after its answer is in the log.
"""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from stat import S_ISFIFO
from typing import Literal

import msgspec
from msgspec import Struct

from spawn.core.codec import clean
from spawn.store import kept
from spawn.store.durable import sync

_WAKE = "wake"
_MOST_BYTES = 4096
"""Of a request: what it says becomes part of an event, which has a limit too."""


_WHY = 200
"""Characters of a decoder's complaint, which may quote the file."""


class Request(Struct, frozen=True, kw_only=True):
    """Ask for the queue's end (`cancel`), or for another try of what failed (`reset`)."""

    id: str
    kind: Literal["cancel", "reset"]
    by: str


class Unreadable(Struct, frozen=True, kw_only=True):
    """A file among the requests that is none. `id` is its name, in valid UTF-8."""

    id: str
    why: str


def post(folder: Path, kind: Literal["cancel", "reset"], *, by: str, at: str) -> Request:
    """Leave a request for the runner, and wake it.

    Args:
        folder: The queue's `requests/`.
        at: A stamp: requests are answered in their order.

    Raises:
        OSError: It cannot be written; nothing of it is left.
    """
    folder.mkdir(exist_ok=True)
    request = Request(id=f"{at}-{token_hex(4)}", kind=kind, by=by)
    part = folder / f".{request.id}.part"
    try:
        with open(part, "wb") as file:
            file.write(msgspec.json.encode(request))
            file.flush()
            os.fsync(file.fileno())
        part.rename(folder / f"{request.id}.json")
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync(folder)
    with suppress(OSError):  # nobody listens: the next runner will look
        fd = os.open(folder / _WAKE, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.write(fd, b"\0")
        finally:
            os.close(fd)
    return request


def withdraw(folder: Path, request_id: str) -> None:
    """Take a request away. One that is not there is no error."""
    (folder / f"{request_id}.json").unlink(missing_ok=True)


class Inbox:
    """The runner's end. Readable when somebody may have left a request.

    No file in the folder stops the runner: each is read once, and one that cannot be removed is
    ignored from then on.

    Args:
        folder: The queue's `requests/`; made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[str] = set()
        self._files: dict[str, list[Path]] = {}
        try:
            folder.mkdir(exist_ok=True)
            self._wake = _open_wake(folder / _WAKE)
        except OSError:  # then the folder is looked at now and then
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """See `HasFileno`."""
        return self._wake

    def read(self) -> list[Request | Unreadable]:
        """The requests that were not read before, oldest first."""
        with suppress(BlockingIOError):
            os.read(self._wake, 4096)
        found: list[Request | Unreadable] = []
        for file in sorted(self._folder.glob("*.json")):
            if file.name not in self._seen:
                self._seen.add(file.name)
                request = _load(file)
                if request is not None:
                    self._files.setdefault(request.id, []).append(file)
                    found.append(request)
        return found

    def done(self, request_id: str) -> None:
        """Forget a request: its answer is in the log."""
        for file in self._files.pop(request_id, ()):
            with suppress(OSError):
                file.unlink(missing_ok=True)


def _open_wake(path: Path) -> int:
    """Open the pipe that wakes the runner; whatever else has its name makes room."""
    with suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    if not S_ISFIFO(path.lstat().st_mode):
        path.unlink()
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)


def _load(file: Path) -> Request | Unreadable | None:
    """Read a request; None where it was withdrawn."""
    name = clean(file.stem)
    try:
        request = kept.load(file, Request, _MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unreadable(id=name, why=error.strerror or "it cannot be opened")
    except msgspec.DecodeError as error:
        return Unreadable(id=name, why=clean(str(error))[:_WHY])
    if request.id != name:
        return Unreadable(id=name, why="its name is not its id")
    return request
