"""A bar on the terminal while files come."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Progress:
    """Counts bytes, from any thread; draws nothing."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.total = 0
        self.done = 0

    def coming(self, size: int) -> None:
        """So many more bytes are to come."""
        with self._lock:
            self.total += size
            self._changed()

    def went(self, size: int) -> None:
        """So many have come."""
        with self._lock:
            self.done += size
            self._changed()

    def print(self, text: str) -> None:
        """Print to stdout, above the bar."""
        print(text, flush=True)

    def _changed(self) -> None:
        """Let it be seen."""


@contextmanager
def progress() -> Iterator[Progress]:
    """Show a bar on stderr, if that is a terminal; it is gone at the end."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        yield Progress()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    columns = BarColumn(bar_width=None), DownloadColumn(), TransferSpeedColumn()
    bar = Bar(
        *columns, TimeRemainingColumn(compact=True), console=Console(stderr=True), transient=True
    )
    task = bar.add_task("", total=None)

    class Shown(Progress):
        def print(self, text: str) -> None:
            if not sys.stdout.isatty():
                print(text, flush=True)
                return
            bar.stop()
            print(text, flush=True)
            bar.start()

        def _changed(self) -> None:
            bar.update(task, total=self.total or None, completed=self.done)

    with bar:
        yield Shown()
