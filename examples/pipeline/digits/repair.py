"""Turns one raw line into an image and its digit, noting every fault on the way."""

from digits import cells
from digits.faults import Faults
from digits.rawfile import Line
from digits.shape import DEEPEST, PIXEL_NAMES, PIXELS, SIDE
from digits.table import Row

MOST_MISSING = PIXELS // 4
"""A row with more cells without a number than this is dropped."""
FEWEST_BYTES = 8
"""A row with this many cells over 16 is in 0..255; fewer are single wrong cells."""


def repaired(line: Line, faults: Faults) -> Row | None:
    """The row, or None when it can't be saved."""
    *pixel_cells, label_cell = line.cells
    digit = cells.label(label_cell)
    if digit is None:
        faults.note("label_missing", line.number)
        return None
    if sum(cells.number(cell) is None for cell in pixel_cells) > MOST_MISSING:
        faults.note("unreadable_row", line.number)
        return None
    if label_cell != str(digit):
        faults.note("label_spelling", line.number)
    values = [
        _number(cell, name, line.number, faults)
        for cell, name in zip(pixel_cells, PIXEL_NAMES, strict=True)
    ]
    counts = _in_range(_in_counts(values, line.number, faults), line.number, faults)
    return Row(line.number, "", tuple(_filled(counts)), digit)


def _number(cell: str, name: str, line: int, faults: Faults) -> float | None:
    if cells.is_missing(cell):
        faults.note("missing_cell", line, name)
        return None
    value = cells.number(cell)
    if value is None:
        faults.note("stray_text_cell", line, name)
    return value


def _in_counts(values: list[float | None], line: int, faults: Faults) -> list[float | None]:
    """The row in counts of 0 to 16, whichever of the three scales it came in."""
    known = [value for value in values if value is not None]
    if sum(value > DEEPEST for value in known) >= FEWEST_BYTES:
        faults.note("byte_scale_row", line)
        return [None if value is None else round(value * DEEPEST / 255) for value in values]
    if max(known) <= 1 and any(value % 1 for value in known):
        faults.note("fraction_scale_row", line)
        return [None if value is None else value * DEEPEST for value in values]
    return values


def _in_range(values: list[float | None], line: int, faults: Faults) -> list[int | None]:
    counts: list[int | None] = []
    for value, name in zip(values, PIXEL_NAMES, strict=True):
        if value is None or (0 <= value <= DEEPEST and value % 1 == 0):
            counts.append(None if value is None else int(value))
        else:
            faults.note("out_of_range_cell", line, name)
            counts.append(None)
    return counts


def _filled(counts: list[int | None]) -> list[int]:
    """Each unknown pixel as the mean of the known ones around it, up to eight."""
    return [_around(counts, at) if count is None else count for at, count in enumerate(counts)]


def _around(counts: list[int | None], at: int) -> int:
    row, column = divmod(at, SIDE)
    near = [
        counts[r * SIDE + c]
        for r in range(max(row - 1, 0), min(row + 2, SIDE))
        for c in range(max(column - 1, 0), min(column + 2, SIDE))
    ]
    known = [count for count in near if count is not None]
    return round(sum(known) / len(known)) if known else 0
