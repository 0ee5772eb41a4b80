"""The end of a file that may be large."""

import os
from pathlib import Path

from spawn.core.codec import clean
from spawn.store.files import regular


def tail(
    path: Path, lines: int, *, after: int = 0, max_bytes: int = 64 * 1024, width: int = 500
) -> tuple[str, ...]:
    """The last lines of a text file, oldest first, empty ones left out.

    Args:
        after: Nothing before this offset counts, bytes.
        max_bytes: How much of the file's end is looked at.
        width: Longer lines are cut, characters.

    Returns:
        At most `lines` lines of valid text; none when the file cannot be read.
    """
    try:
        with open(path, "rb", opener=regular) as file:
            size = file.seek(0, os.SEEK_END)
            start = max(after, size - max_bytes)
            file.seek(start)
            data = file.read(max_bytes)
    except OSError:
        return ()
    found = data.replace(b"\r", b"\n").split(b"\n")
    whole = found[1:] if start > after else found
    kept = [line for line in whole if line.strip()] or [line for line in found if line.strip()]
    kept = kept[max(0, len(kept) - lines) :]
    return tuple(clean(line)[:width] for line in kept)
