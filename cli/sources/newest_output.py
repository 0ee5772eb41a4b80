"""The newest output of running attempts, from the pieces in the object store."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from spawn.core.domain.codec import valid_utf8
from spawn.core.reports.progress import Progress, all_in, from_output, with_base
from spawn.store.objects.interface import PAGE, ObjectNotFound, ObjectStore
from spawn.store.queue_dir.output import visible_part
from spawn.store.results import output_pieces

RECENT_LINES = 50
MAX_ATTEMPTS = 8
"""How many attempts are read: as many as `status` shows with details."""
_WIDTH = 500
_MAX_BYTES = 64 * 1024
"""How much of a piece is parsed."""
_STREAMS = ("stdout.log", "stderr.log")

NewestOutput = tuple[Progress | None, tuple[str, ...]]
"""The progress that an attempt reports, and its newest lines, oldest first."""


class Pieces:
    """Reads the newest piece of each stream. Later calls read only what was added since."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._newest: dict[str, str] = {}
        self._lines: dict[str, tuple[str, ...]] = {}
        self._first: dict[str, str] = {}
        self._heads: dict[str, tuple[str, ...]] = {}

    def newest(self, prefixes: Sequence[str]) -> dict[str, NewestOutput]:
        """Read the newest output of the first `MAX_ATTEMPTS` attempts, in parallel.

        It takes a list request for each stream, and a read for each stream with a new piece.

        Args:
            prefixes: The attempts' prefixes in the store, with a trailing slash.

        Raises:
            StoreError: A request failed.
        """
        chosen = prefixes[:MAX_ATTEMPTS]
        if not chosen:
            return {}
        with ThreadPoolExecutor(min(MAX_ATTEMPTS, len(chosen))) as pool:
            return dict(zip(chosen, pool.map(self._read_attempt, chosen), strict=True))

    def _read_attempt(self, prefix: str) -> NewestOutput:
        for name in _STREAMS:
            self._read_stream(f"{prefix}{output_pieces.FOLDER}{name}/")
        out, err = (
            self._lines.get(f"{prefix}{output_pieces.FOLDER}{name}/", ()) for name in _STREAMS
        )
        err = err[-max((RECENT_LINES + 1) // 2, RECENT_LINES - len(out)) :]
        lines = (*out[len(out) - min(len(out), RECENT_LINES - len(err)) :], *err)
        progress = from_output(lines)
        if progress is None:
            return None, lines
        begun = (
            line
            for name in _STREAMS
            for line in self._head(f"{prefix}{output_pieces.FOLDER}{name}/")
        )
        return with_base(progress, [*all_in(begun), progress]), lines

    def _head(self, folder: str) -> tuple[str, ...]:
        """The lines of a stream's first piece."""
        key = self._first.get(folder)
        if key is None:
            return ()
        if key not in self._heads:
            try:
                text = valid_utf8(self._store.read(key).data[:_MAX_BYTES])
            except ObjectNotFound:
                text = ""
            self._heads[key] = tuple(text.replace("\r", "\n").split("\n"))
        return self._heads[key]

    def _read_stream(self, folder: str) -> None:
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
        except ObjectNotFound:
            return  # the complete stream has replaced the pieces
        self._newest[folder] = after
        if after == self._first[folder]:
            self._heads[after] = tuple(
                valid_utf8(data[:_MAX_BYTES]).replace("\r", "\n").split("\n")
            )
        known = self._lines.get(folder, ())
        if data.startswith(b"\r"):
            known = known[:-1]  # a carriage return overwrites the previous line
        text = [valid_utf8(visible_part(line)) for line in data[-_MAX_BYTES:].split(b"\n")]
        found = [line[:_WIDTH] for line in text if line.strip()]
        self._lines[folder] = (*known, *found)[-RECENT_LINES:]
