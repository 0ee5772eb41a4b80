"""The progress bar of a download, on one line."""

from spawn.cli.render.results import size
from spawn.cli.render.style import Style
from spawn.core.durations import text as duration

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
    parts = [f"{done * 100 // total:3d}%", f"{size(done)} of {size(total)}"]
    if speed >= 1:
        parts += [f"{size(int(speed))}/s", f"{duration((total - done) / speed)} left"]
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
