"""`cleaned_data.csv`: one image a line, with the line it came from and the split it is in."""

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from digits.files import read_text
from digits.problem import Problem
from digits.shape import CLASSES, DEEPEST, PIXEL_NAMES, PIXELS

FILE_NAME = "cleaned_data.csv"
HEADER = ",".join(("line", "split", *PIXEL_NAMES, "digit"))
SPLITS = ("train", "validation", "test")
HINT = "run preprocess.py first"


class Row(NamedTuple):
    """One image."""

    line: int
    """Where it stands in the raw file."""
    split: str
    pixels: tuple[int, ...]
    """64 counts of 0 to 16, row by row."""
    digit: int


class Table(NamedTuple):
    """A cleaned file as read."""

    rows: list[Row]
    sha256: str
    """Of the file, so that a model can say what it was trained on."""

    def split(self, name: str) -> list[Row]:
        """The rows of one split, in the file's order."""
        return [row for row in self.rows if row.split == name]


def to_csv(rows: list[Row]) -> str:
    """The whole file as text."""
    lines = [f"{row.line},{row.split},{','.join(map(str, row.pixels))},{row.digit}" for row in rows]
    return "\n".join([HEADER, *lines]) + "\n"


def read_table(folder: Path) -> Table:
    """The cleaned file in `folder`.

    Raises:
        Problem: It is missing, is broken, or has a split without rows.
    """
    path = folder / FILE_NAME
    text = read_text(path, HINT)
    header, *lines = text.splitlines() or [""]
    if header != HEADER:
        raise Problem(f"{path}: line 1 is not the header line,split,p00,...,digit; {HINT}")
    rows = [_row(line, f"{path}: line {number}") for number, line in enumerate(lines, start=2)]
    for name in SPLITS:
        if not any(row.split == name for row in rows):
            raise Problem(f"{path} has no {name} rows; {HINT}")
    return Table(rows, sha256(text.encode()).hexdigest())


def _row(text: str, where: str) -> Row:
    line, split, *numbers = text.split(",") if "," in text else (text, "")
    try:
        *pixels, digit = map(int, numbers)
        row = Row(int(line), split, tuple(pixels), digit)
    except ValueError as error:
        raise Problem(f"{where} is not a row of numbers; {HINT}") from error
    sound = len(pixels) == PIXELS and min(pixels) >= 0 and max(pixels) <= DEEPEST
    if not (sound and split in SPLITS and 0 <= digit < CLASSES):
        raise Problem(f"{where} is not a split, {PIXELS} counts and a digit; {HINT}")
    return row
