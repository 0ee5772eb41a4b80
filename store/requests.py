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

from spawn.store.durable import sync

_WAKE = "wake"


class Request(Struct, frozen=True, kw_only=True):
    """Ask for the queue's end (`cancel`), or for another try of what failed (`reset`)."""

    id: str
    kind: Literal["cancel", "reset"]
    by: str


class Unreadable(Struct, frozen=True, kw_only=True):
    """A file among the requests that is none."""

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
        fd = os.open(folder / _WAKE, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
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

    Args:
        folder: The queue's `requests/`; made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._seen: set[str] = set()
        wake = folder / _WAKE
        with suppress(FileExistsError):
            os.mkfifo(wake, 0o600)
        if not S_ISFIFO(wake.stat().st_mode):
            wake.unlink()
            os.mkfifo(wake, 0o600)
        self._wake = os.open(wake, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """See `HasFileno`."""
        return self._wake

    def read(self) -> list[Request | Unreadable]:
        """The requests that were not read before, oldest first."""
        with suppress(BlockingIOError):
            os.read(self._wake, 4096)
        found: list[Request | Unreadable] = []
        for file in sorted(self._folder.glob("*.json")):
            if file.stem not in self._seen:
                self._seen.add(file.stem)
                found.append(_load(file))
        return found

    def done(self, request_id: str) -> None:
        """Forget a request: its answer is in the log."""
        withdraw(self._folder, request_id)


def _load(file: Path) -> Request | Unreadable:
    try:
        request = msgspec.json.decode(file.read_bytes(), type=Request)
    except (OSError, msgspec.DecodeError) as error:
        return Unreadable(id=file.stem, why=str(error))
    if request.id != file.stem:
        return Unreadable(id=file.stem, why="its name is not its id")
    return request
