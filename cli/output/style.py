"""Glyphs and colours of job and queue states."""

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
    """Adds ANSI colours to text, if enabled."""

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour

    def __call__(self, kind: str, text: str) -> str:
        """Return `text` in the style of a state, or of `dim`, `bold` or `warning`."""
        code = _COLOURS.get(kind)
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code and text else text


PLAIN = Style(colour=False)


def style_for(stream: IO[str]) -> Style:
    """Return a style with colours on a terminal, unless `NO_COLOR` is set or TERM is `dumb`.

    Source: https://no-color.org
    """
    wanted = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Style(colour=wanted)
