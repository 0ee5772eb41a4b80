"""A bar on the terminal while files come."""

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from spawn.cli.render.bar import bar
from spawn.cli.render.style import style_for
from spawn.cli.tell import tell

FRAME_SECONDS = 0.1
SPEED_SECONDS = 10.0
"""The speed is that of the last so many."""
COLUMNS = 80
"""Of a terminal that does not say."""
CLEAR = "\r\x1b[J"
"""Also what a terminal that was made narrower has folded below the bar."""


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

    def went(self, size: int) -> None:
        """So many have come."""
        with self._lock:
            self.done += size

    def print(self, text: str) -> None:
        """Print to stdout, above the bar."""
        tell(text)

    def close(self) -> None:
        """Take the bar away; another time changes nothing."""


class _Drawn(Progress):
    """Draws a line over itself, from a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._style = style_for(sys.stderr)
        self._screen = Lock()
        self._over = Event()
        self._seen = deque([(time.monotonic(), 0)])
        self._thread = Thread(target=self._run, name="bar", daemon=True)
        self._thread.start()

    def print(self, text: str) -> None:
        """See `Progress.print`."""
        with self._screen:
            self._write(CLEAR)
            tell(text)
            if not self._over.is_set():
                self._draw()

    def close(self) -> None:
        """See `Progress.close`."""
        with self._screen:
            if not self._over.is_set():
                self._over.set()
                self._write(CLEAR)

    def _run(self) -> None:
        while not self._over.wait(FRAME_SECONDS):
            with self._screen:
                if not self._over.is_set():
                    self._draw()

    def _draw(self) -> None:
        now = time.monotonic()
        with self._lock:
            done, total = self.done, self.total
        while len(self._seen) > 1 and now - self._seen[1][0] > SPEED_SECONDS:
            self._seen.popleft()
        then, before = self._seen[0]
        self._seen.append((now, done))
        speed = (done - before) / (now - then) if now > then else 0.0
        self._write(CLEAR + bar(done, total, speed, _width(), self._style))

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:  # the terminal is gone; the files are not
            self._over.set()


def _width() -> int:
    """Of the terminal as it is now, whatever COLUMNS said when it began, and where stdout goes."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or COLUMNS
    except OSError:
        return COLUMNS


@contextmanager
def progress() -> Iterator[Progress]:
    """Show a bar on stderr, if that is a terminal; it is gone at the end."""
    dumb = not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb"
    shown = Progress() if dumb else _Drawn()
    try:
        yield shown
    finally:
        shown.close()
