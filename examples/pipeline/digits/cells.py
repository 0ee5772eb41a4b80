"""What one cell of the raw file means."""

import re

MISSING = frozenset({"", "?", "-", "na", "n/a", "nan", "none", "null", "unknown"})
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
LABEL = re.compile(r"(?:digit[ _-]?|#)?(\d)(?:\.0+)?")


def is_missing(cell: str) -> bool:
    """Whether the cell is empty or one of the usual words for that."""
    return cell.strip().lower() in MISSING


def number(cell: str) -> float | None:
    """The number in the cell, or None where there is other text."""
    stripped = cell.strip()
    return float(stripped) if NUMBER.fullmatch(stripped) else None


def label(cell: str) -> int | None:
    """The digit that a label means, however it is spelt: `7`, ` 7`, `7.0`, `Seven`, `digit_7`."""
    word = cell.strip().lower()
    if word in WORDS:
        return WORDS.index(word)
    match = LABEL.fullmatch(word)
    return int(match[1]) if match else None
