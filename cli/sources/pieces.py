"""The newest output of attempts that run elsewhere, from the pieces of it in the object store."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from spawn.core.codec import clean
from spawn.core.report.progress import Progress, from_output
from spawn.store.objects.port import PAGE, NotThere, ObjectStore
from spawn.store.results import parts

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
        return from_output(lines), lines

    def _read_on(self, folder: str) -> None:
        before = after = self._newest.get(folder, "")
        while page := self._store.list(folder, after):
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
        text = clean(data[-_LOOKED_AT:]).replace("\r", "\n")
        found = [line[:_WIDTH] for line in text.split("\n") if line.strip()]
        self._lines[folder] = (*self._lines.get(folder, ()), *found)[-RECENT_LINES:]
