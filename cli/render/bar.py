"""How far a download is, on one line."""

from spawn.cli.render.results import size
from spawn.cli.render.style import Style
from spawn.core.durations import text as duration

SPARE = 3
"""Columns left free: a terminal writes `^C` at the cursor, and that must not begin a line."""
LEAST, MOST = 8, 48
"""Columns of the bar itself."""


def bar(done: int, total: int, speed: float, width: int, style: Style) -> str:
    """Draw a download; what a narrow terminal has no room for is left out, the bar first.

    Args:
        done: Bytes that have come.
        total: Bytes that are to come, as far as that is known; 0 while it is not.
        speed: Bytes a second.
        width: Of the terminal, columns.
    """
    if not total:
        return _cut(["looking what there is"], width)
    done = min(done, total)
    parts = [f"{done * 100 // total:3d}%", f"{size(done)} of {size(total)}"]
    if speed >= 1:
        parts += [f"{size(int(speed))}/s", f"{duration((total - done) / speed)} left"]
    words = _cut(parts, width)
    room = min(MOST, width - SPARE - len(words) - 1)
    if room < LEAST:
        return words
    full = room * done // total
    return f"{style('completed', '━' * full)}{style('dim', '━' * (room - full))} {words}"


def _cut(parts: list[str], width: int) -> str:
    """As many as fit, from the first on."""
    while len(parts) > 1 and len("  ".join(parts)) > width - SPARE:
        parts = parts[:-1]
    return "  ".join(parts)[: max(0, width - SPARE)]
