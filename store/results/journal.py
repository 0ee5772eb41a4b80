"""Which results of an attempt are in the object store already, kept beside its output.

It spares a runner that goes on with an upload from reading back what another had sent. A line that
is missing costs that much; none is believed unless the store has an object of that size.
"""

from contextlib import suppress
from pathlib import Path
from threading import Lock

import msgspec
from msgspec import Struct

from spawn.store.files import read_small, regular

NAME = "uploaded"
_MOST_BYTES = 1024 * 1024 * 1024
"""Of a journal: some millions of files."""


class Sent(Struct, frozen=True):
    """A result that is in the store."""

    name: str
    size: int
    sha256: str


class Journal:
    """What was sent of one attempt's results; used by several threads.

    Args:
        folder: The attempt's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._lock = Lock()
        self._sent: dict[str, Sent] = {}
        with suppress(OSError):
            for line in read_small(self._path, _MOST_BYTES).splitlines():
                with suppress(ValueError, RecursionError):  # the last of a runner that died
                    sent = msgspec.json.decode(line, type=Sent)
                    self._sent[sent.name] = sent

    def find(self, name: str) -> Sent | None:
        """What was sent under a name; None where nobody knows."""
        return self._sent.get(name)

    def note(self, sent: Sent) -> None:
        """Remember it. A disk that is full forgets."""
        with self._lock:
            self._sent[sent.name] = sent
            with suppress(OSError), open(self._path, "ab", opener=regular) as file:
                file.write(b"\n" + msgspec.json.encode(sent))
