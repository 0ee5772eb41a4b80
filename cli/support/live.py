"""The live view: redrawn in place, and no taller than the terminal."""

import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from spawn.cli.host import now
from spawn.cli.output.queue_summary import summary
from spawn.cli.output.style import style_for
from spawn.cli.output.watch_screen import screen
from spawn.cli.sources.local import LocalQueue
from spawn.core.domain.events import Data, Event
from spawn.core.reports.model import Report
from spawn.core.values.text import printable

FRAME_SECONDS = 0.1


class LiveView:
    """Shows a queue's report, redrawn in place; a `spawn.cli.support.follow.View`."""

    def __init__(self) -> None:
        self._style = style_for(sys.stdout)
        self._drawn_at = float("-inf")
        self._console = Console(highlight=False, soft_wrap=False)
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
        self._shown: Report | None = None
        self._drawing = self._resized = False
        self._on_resize: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._on_resize = signal.signal(signal.SIGWINCH, self._handle_resize)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._on_resize is not None:
            signal.signal(signal.SIGWINCH, self._on_resize)
        self._live.stop()

    def events(self, events: list[Event[Data]], source: LocalQueue) -> None:
        """Redraw, at most once per `FRAME_SECONDS`; the next tick shows the rest of a burst."""
        if time.monotonic() - self._drawn_at >= FRAME_SECONDS:
            self.tick(source)

    def tick(self, source: LocalQueue) -> None:
        """Redraw."""
        self.show(source.report(now()))

    def show(self, report: Report) -> None:
        """Draw a report over the previous one."""
        self._drawing = True
        try:
            if self._resized:
                self._resized = False
                self._console.clear()
            width, height = self._console.size
            lines = screen(report, None, self._style, width=width, height=height - 1)
            self._live.update(self._text(lines), refresh=True)
            self._drawn_at = time.monotonic()
            self._shown = report
        finally:
            self._drawing = False
        if self._resized:
            self.show(report)

    def say(self, text: str) -> None:
        """Print a warning above the report."""
        self._console.print(Text(f"Warning: {printable(text)}", style="yellow"))

    def close(self, report: Report) -> None:
        """Draw the last report and print the summary."""
        self.show(report)
        self._live.stop()
        self._console.print()
        for line in summary(report, self._style):
            self._console.print(Text.from_ansi(line), soft_wrap=True)

    def _handle_resize(self, _number: int, _frame: FrameType | None) -> None:
        """Clear and redraw: a resize rewraps long lines, so the position of the report is lost."""
        self._resized = True
        if self._shown is not None and not self._drawing:
            self.show(self._shown)

    def _text(self, lines: list[str]) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        for index, line in enumerate(lines):
            if index:
                text.append("\n")
            text.append_text(Text.from_ansi(line))
        return text
