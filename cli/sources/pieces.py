"""The newest output of attempts that run elsewhere, from the pieces of it in the object store."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from spawn.core.codec import clean
from spawn.core.report.progress import Progress, each_of, from_output, measured
from spawn.store.objects.port import PAGE, NotThere, ObjectStore
from spawn.store.results import parts
from spawn.store.tail import shown

RECENT_LINES = 50
MOST = 8
"""Attempts that are looked at: as many as `status` shows at length."""
_WIDTH = 500
_LOOKED_AT = 64 * 1024
_STREAMS = ("stdout.log", "stderr.log")

Newest = tuple[Progress | None, tuple[str, ...]]
"""How far an attempt says that it is, and its newest lines, oldest first."""


class Pieces:
    """Looks at the newest piece of each stream, and goes on from there the next time."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._newest: dict[str, str] = {}
        self._lines: dict[str, tuple[str, ...]] = {}
        self._first: dict[str, str] = {}
        self._heads: dict[str, tuple[str, ...]] = {}

    def newest(self, prefixes: Sequence[str]) -> dict[str, Newest]:
        """Look at attempts, some at once: a list for each, and a read for each stream with news.

        Args:
            prefixes: Of the attempts in the store, with a trailing slash.

        Raises:
            StoreError: The store cannot be asked.
        """
        looked = prefixes[:MOST]
        if not looked:
            return {}
        with ThreadPoolExecutor(min(MOST, len(looked))) as pool:
            return dict(zip(looked, pool.map(self._look, looked), strict=True))

    def _look(self, prefix: str) -> Newest:
        for name in _STREAMS:
            self._read_on(f"{prefix}{parts.FOLDER}{name}/")
        out, err = (self._lines.get(f"{prefix}{parts.FOLDER}{name}/", ()) for name in _STREAMS)
        err = err[-max((RECENT_LINES + 1) // 2, RECENT_LINES - len(out)) :]
        lines = (*out[len(out) - min(len(out), RECENT_LINES - len(err)) :], *err)
        progress = from_output(lines)
        if progress is None:
            return None, lines
        begun = (line for name in _STREAMS for line in self._head(f"{prefix}{parts.FOLDER}{name}/"))
        return measured(progress, [*each_of(begun), progress]), lines

    def _head(self, folder: str) -> tuple[str, ...]:
        """The lines of a stream's first piece."""
        key = self._first.get(folder)
        if key is None:
            return ()
        if key not in self._heads:
            try:
                text = clean(self._store.read(key).data[:_LOOKED_AT])
            except NotThere:
                text = ""
            self._heads[key] = tuple(text.replace("\r", "\n").split("\n"))
        return self._heads[key]

    def _read_on(self, folder: str) -> None:
        before = after = self._newest.get(folder, "")
        while page := self._store.list(folder, after):
            self._first.setdefault(folder, page[0][0])
            after = page[-1][0]
            if len(page) < PAGE:
                break
        if after == before:
            return
        try:
            data = self._store.read(after).data
        except NotThere:
            return  # the whole stream has taken its place
        self._newest[folder] = after
        if after == self._first[folder]:
            self._heads[after] = tuple(clean(data[:_LOOKED_AT]).replace("\r", "\n").split("\n"))
        known = self._lines.get(folder, ())
        if data.startswith(b"\r"):
            known = known[:-1]  # it writes over the line before
        text = [clean(shown(line)) for line in data[-_LOOKED_AT:].split(b"\n")]
        found = [line[:_WIDTH] for line in text if line.strip()]
        self._lines[folder] = (*known, *found)[-RECENT_LINES:]
