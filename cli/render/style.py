"""Glyphs and colours, the same wherever a job is shown."""

import os
from typing import IO

GLYPHS = {
    "pending": "⏸",
    "running": "▶",
    "completed": "✓",
    "failed": "✗",
    "retrying": "↻",
    "blocked": "⊘",
    "interrupted": "⏹",
}
_COLOURS = {
    "completed": "32",
    "running": "36",
    "failed": "31",
    "retrying": "33",
    "blocked": "33",
    "interrupted": "33",
    "pending": "2",
    "dim": "2",
    "bold": "1",
    "warning": "33",
}


class Style:
    """Paints text with ANSI colours, or leaves it as it is."""

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour

    def __call__(self, kind: str, text: str) -> str:
        """Paint `text` in the colour of a state, or of `dim`, `bold` or `warning`."""
        code = _COLOURS.get(kind)
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code and text else text


PLAIN = Style(colour=False)


def style_for(stream: IO[str]) -> Style:
    """Colour on a terminal, unless `NO_COLOR` is set or the terminal is dumb.

    Source: https://no-color.org
    """
    wanted = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Style(colour=wanted)
