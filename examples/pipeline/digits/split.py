"""Deals the rows out to training, validation and test."""

from hashlib import sha256

from digits.shape import CLASSES
from digits.table import Row

TEST_SHARE = 5
"""One row in this many is for the test."""
VALIDATION_SHARE = 10


def dealt(rows: list[Row]) -> list[Row]:
    """The rows, each with its split, in the order they came.

    Each digit is dealt alone, so every split has the same mix. The order of dealing is that of
    the images' SHA-256: the same image always lands in the same place, on any machine, and no
    random generator has to stay the same for it.
    """
    split_of: dict[int, str] = {}
    for digit in range(CLASSES):
        same = sorted(
            (row for row in rows if row.digit == digit),
            key=lambda row: sha256(bytes(row.pixels)).digest(),
        )
        tested = len(same) // TEST_SHARE
        validated = tested + len(same) // VALIDATION_SHARE
        for place, row in enumerate(same):
            split_of[row.line] = (
                "test" if place < tested else "validation" if place < validated else "train"
            )
    return [row._replace(split=split_of[row.line]) for row in rows]
