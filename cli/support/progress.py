"""A progress bar on the terminal during a download."""

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from spawn.cli.output.results import format_size
from spawn.cli.output.style import Style, style_for
from spawn.cli.support.stdout import print_flushed
from spawn.core.values.durations import format_duration as duration

FRAME_SECONDS = 0.1
SPEED_SECONDS = 10.0
"""The period over which the speed is averaged."""
COLUMNS = 80
"""Width of a terminal that does not report it."""
CLEAR = "\r\x1b[J"
"""Clears to the end of the screen: a narrowed terminal has wrapped the bar."""


class Progress:
    """Counts bytes, from any thread, and draws nothing."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.total = 0
        self.done = 0

    def add_total(self, size: int) -> None:
        """Add bytes to download."""
        with self._lock:
            self.total += size

    def add_done(self, size: int) -> None:
        """Add downloaded bytes."""
        with self._lock:
            self.done += size

    def print(self, text: str) -> None:
        """Print to stdout, above the bar."""
        print_flushed(text)

    def close(self) -> None:
        """Remove the bar. Idempotent."""


class _ProgressBar(Progress):
    """Draws a bar on stderr, from its own thread."""

    def __init__(self) -> None:
        super().__init__()
        self._style = style_for(sys.stderr)
        self._screen = Lock()
        self._over = Event()
        self._seen = deque([(time.monotonic(), 0)])
        self._thread = Thread(target=self._run, name="bar", daemon=True)
        self._thread.start()

    def print(self, text: str) -> None:
        """Print to stdout, above the bar."""
        with self._screen:
            self._write(CLEAR)
            print_flushed(text)
            if not self._over.is_set():
                self._draw()

    def close(self) -> None:
        """Remove the bar."""
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
        except OSError:  # the terminal is gone; the download continues
            self._over.set()


def _width() -> int:
    """The current width of stderr's terminal. COLUMNS may be outdated, and stdout may be a pipe."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or COLUMNS
    except OSError:
        return COLUMNS


@contextmanager
def progress() -> Iterator[Progress]:
    """Show a bar on stderr during the block, if stderr is a terminal."""
    dumb = not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb"
    shown = Progress() if dumb else _ProgressBar()
    try:
        yield shown
    finally:
        shown.close()


SPARE = 3
"""Columns left free, so that the `^C` that a terminal echoes does not wrap to the next line."""
LEAST, MOST = 8, 48
"""Minimum and maximum columns of the bar itself."""


def bar(done: int, total: int, speed: float, width: int, style: Style) -> str:
    """Draw a progress bar. On a narrow terminal, parts are omitted, the bar first.

    Args:
        done: Bytes downloaded.
        total: Total bytes; 0 while unknown.
        speed: Bytes per second.
        width: Columns of the terminal.
    """
    if not total:
        return _fit(["listing files"], width)
    done = min(done, total)
    parts = [f"{done * 100 // total:3d}%", f"{format_size(done)} of {format_size(total)}"]
    if speed >= 1:
        parts += [f"{format_size(int(speed))}/s", f"{duration((total - done) / speed)} left"]
    words = _fit(parts, width)
    room = min(MOST, width - SPARE - len(words) - 1)
    if room < LEAST:
        return words
    full = room * done // total
    return f"{style('completed', '━' * full)}{style('dim', '━' * (room - full))} {words}"


def _fit(parts: list[str], width: int) -> str:
    """Join as many of the first parts as fit."""
    while len(parts) > 1 and len("  ".join(parts)) > width - SPARE:
        parts = parts[:-1]
    return "  ".join(parts)[: max(0, width - SPARE)]
