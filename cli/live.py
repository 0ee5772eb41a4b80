"""The live view on a terminal: drawn over itself, and no taller than the terminal."""

import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from spawn.cli.bootstrap import now
from spawn.cli.follow import summary
from spawn.cli.render.screen import screen
from spawn.cli.render.style import style_for
from spawn.cli.render.text import printable
from spawn.cli.sources.local import LocalQueue
from spawn.core.events import Data, Event
from spawn.core.report.model import Report

FRAME_SECONDS = 0.1


class LiveView:
    """See `spawn.cli.follow.View`."""

    def __init__(self) -> None:
        self._style = style_for(sys.stdout)
        self._drawn = float("-inf")
        self._console = Console(highlight=False, soft_wrap=False)
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
        self._shown: Report | None = None
        self._drawing = self._broken = False
        self._on_resize: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._on_resize = signal.signal(signal.SIGWINCH, self._resized)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._on_resize is not None:
            signal.signal(signal.SIGWINCH, self._on_resize)
        self._live.stop()

    def events(self, events: list[Event[Data]], source: LocalQueue) -> None:
        """See `View.events`. A burst of events is drawn once; the next tick shows its end."""
        if time.monotonic() - self._drawn >= FRAME_SECONDS:
            self.tick(source)

    def tick(self, source: LocalQueue) -> None:
        """See `View.tick`."""
        self.show(source.report(now()))

    def show(self, report: Report) -> None:
        """Draw a report over the one before."""
        self._drawing = True
        try:
            if self._broken:
                self._broken = False
                self._console.clear()
            width, height = self._console.size
            lines = screen(report, None, self._style, width=width, height=height - 1)
            self._live.update(self._text(lines), refresh=True)
            self._drawn = time.monotonic()
            self._shown = report
        finally:
            self._drawing = False
        if self._broken:
            self.show(report)

    def say(self, text: str) -> None:
        """See `View.say`."""
        self._console.print(Text(f"Warning: {printable(text)}", style="yellow"))

    def close(self, report: Report) -> None:
        """See `View.close`."""
        self.show(report)
        self._live.stop()
        self._console.print()
        for line in summary(report, self._style):
            self._console.print(Text.from_ansi(line), soft_wrap=True)

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        """Draw anew: the terminal has broken the lines that do not fit any more, so where they
        begin is known no longer."""
        self._broken = True
        if self._shown is not None and not self._drawing:
            self.show(self._shown)

    def _text(self, lines: list[str]) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        for index, line in enumerate(lines):
            if index:
                text.append("\n")
            text.append_text(Text.from_ansi(line))
        return text
