"""Foreign text on a terminal."""

import re

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Make text of a job or a file safe to show: no control reaches the terminal, one line."""
    return _CONTROLS.sub("", text.replace("\t", "    ").replace("\n", " ⏎ "))
