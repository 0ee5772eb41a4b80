"""A journal of an attempt's uploaded results, in a file beside its output.

A runner that resumes an upload need not read the objects back. A missing line costs that read. A
line counts only if the store has an object of that size.
"""

from contextlib import suppress
from pathlib import Path
from threading import Lock

import msgspec
from msgspec import Struct

from spawn.store.files import open_regular, read_small

NAME = "uploaded"
_MAX_BYTES = 1024 * 1024 * 1024
"""Maximum size of a journal: some millions of files."""


class Sent(Struct, frozen=True):
    """An uploaded result."""

    name: str
    size: int
    sha256: str


class Journal:
    """The journal of one attempt. Thread-safe.

    Args:
        folder: The attempt's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._lock = Lock()
        self._sent: dict[str, Sent] = {}
        with suppress(OSError):
            for line in read_small(self._path, _MAX_BYTES).splitlines():
                with suppress(ValueError, RecursionError):  # cut off when a runner died
                    sent = msgspec.json.decode(line, type=Sent)
                    self._sent[sent.name] = sent

    def find(self, name: str) -> Sent | None:
        """The upload with this name; None if there is no record of it."""
        return self._sent.get(name)

    def note(self, sent: Sent) -> None:
        """Record an upload. A failed write is ignored."""
        with self._lock:
            self._sent[sent.name] = sent
            with suppress(OSError), open(self._path, "ab", opener=open_regular) as file:
                file.write(b"\n" + msgspec.json.encode(sent))
