"""Problems of a configuration and how they are formatted."""

import re

from msgspec import Struct

_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
_LONGEST_SHOWN = 60


class Problem(Struct, frozen=True):
    """A problem of a configuration: `jobs[1].depends_on[0]: there is no job 'a'; ...`.

    Args:
        place: Path in the file, such as `jobs[2].timeout`; empty for the file as a whole.
        what: The problem, without a full stop.
        hint: How to fix it; may be empty.
    """

    place: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.what}; {self.hint}" if self.hint else self.what
        return f"{self.place}: {text}" if self.place else text


def quoted(text: str) -> str:
    """Quote user input, shortened, with control characters escaped."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")


def child_place(place: str, key: str) -> str:
    """Return the place of an object's field: `retry.backoff` or `environment['A B']`."""
    if not _PLAIN.fullmatch(key) or len(key) > _LONGEST_SHOWN:
        return f"{place}[{quoted(key)}]"
    return f"{place}.{key}" if place else key
