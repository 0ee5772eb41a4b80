"""Requests to a live runner: files in `requests/`, which the runner answers with events.

A request is durable before the runner is woken, and is removed after its answer is in the log.
"""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from stat import S_ISFIFO
from typing import Literal

import msgspec
from msgspec import Struct

from spawn.core.domain.codec import valid_utf8
from spawn.store import json_files
from spawn.store.files import flush_to_disk

_WAKE = "wake"
_MAX_BYTES = 4096
"""Maximum size of a request; it becomes part of an event, whose size is limited."""
_WHY_LENGTH = 200
"""Maximum characters of a decoder's message, which may quote the file."""


class Request(Struct, frozen=True, kw_only=True):
    """A request to cancel the queue (`cancel`) or to retry failed jobs (`reset`)."""

    id: str
    kind: Literal["cancel", "reset"]
    by: str


class UnreadableRequest(Struct, frozen=True, kw_only=True):
    """A file in `requests/` that is not a valid request. `id` is its name, in valid UTF-8."""

    id: str
    why: str


def post_request(folder: Path, kind: Literal["cancel", "reset"], *, by: str, at: str) -> Request:
    """Write a request and wake the runner.

    Args:
        folder: The queue's `requests/`.
        at: A stamp; requests are answered in its order.

    Raises:
        OSError: The request cannot be written; no file remains.
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
    flush_to_disk(folder)
    with suppress(OSError):  # without a live runner, the next one reads the request
        fd = os.open(folder / _WAKE, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.write(fd, b"\0")
        finally:
            os.close(fd)
    return request


def withdraw(folder: Path, request_id: str) -> None:
    """Remove a request; no error if it does not exist."""
    (folder / f"{request_id}.json").unlink(missing_ok=True)


class RequestInbox:
    """The runner's side. Its descriptor is readable when there may be a request.

    Each file is read once. A file that cannot be removed is ignored afterwards.

    Args:
        folder: The queue's `requests/`; created if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[str] = set()
        self._files: dict[str, list[Path]] = {}
        try:
            folder.mkdir(exist_ok=True)
            self._wake = _open_wake(folder / _WAKE)
        except OSError:  # the runner then polls the folder
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._wake

    def read(self) -> list[Request | UnreadableRequest]:
        """Return the new requests, oldest first."""
        with suppress(BlockingIOError):
            os.read(self._wake, 4096)
        found: list[Request | UnreadableRequest] = []
        for file in sorted(self._folder.glob("*.json")):
            if file.name not in self._seen:
                self._seen.add(file.name)
                request = _load(file)
                if request is not None:
                    self._files.setdefault(request.id, []).append(file)
                    found.append(request)
        return found

    def done(self, request_id: str) -> None:
        """Remove a request after its answer is in the log."""
        for file in self._files.pop(request_id, ()):
            with suppress(OSError):
                file.unlink(missing_ok=True)


def _open_wake(path: Path) -> int:
    """Open the pipe that wakes the runner; replace any other file of that name."""
    with suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    if not S_ISFIFO(path.lstat().st_mode):
        path.unlink()
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)


def _load(file: Path) -> Request | UnreadableRequest | None:
    """Read a request; None if it was withdrawn."""
    name = valid_utf8(file.stem)
    try:
        request = json_files.load(file, Request, _MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        return UnreadableRequest(id=name, why=error.strerror or "it cannot be opened")
    except msgspec.DecodeError as error:
        return UnreadableRequest(id=name, why=valid_utf8(str(error))[:_WHY_LENGTH])
    if request.id != name:
        return UnreadableRequest(id=name, why="its id differs from its file name")
    return request
