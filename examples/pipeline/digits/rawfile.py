"""Splits the raw file into lines of cells, minus what isn't a row at all."""

from collections.abc import Iterator
from typing import NamedTuple

from digits.faults import Faults
from digits.problem import Problem
from digits.shape import RAW_HEADER


class Line(NamedTuple):
    """One row of the raw file as it stands there."""

    number: int
    """Counted from 1."""
    cells: list[str]


def raw_lines(text: str, faults: Faults) -> Iterator[Line]:
    """Every line that has the right number of cells; notes the others.

    Raises:
        Problem: The first line isn't the header.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()  # the last line was ended properly
    for number, ended in enumerate(lines or [""], start=1):
        line = ended.removesuffix("\r")
        if line != ended:
            faults.note("crlf_line", number)
        cells = line.split(",")
        is_header = tuple(cells) == RAW_HEADER
        if number == 1:
            if not is_header:
                raise Problem(f"line 1 is not the header {RAW_HEADER[0]},...,{RAW_HEADER[-1]}")
        elif is_header:
            faults.note("repeated_header", number)
        elif len(cells) == len(RAW_HEADER):
            yield Line(number, cells)
        elif line.strip():
            faults.note("broken_line", number)
        else:
            faults.note("blank_line", number)
