"""Make untrusted text safe for a terminal."""

import re

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Return text as one line without control characters or escape sequences."""
    return _CONTROLS.sub("", text.replace("\t", "    ").replace("\n", " ⏎ "))


def plural(number: int, noun: str) -> str:
    """Format a number with its noun: `1 job`, `3 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
