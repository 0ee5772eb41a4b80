"""One thing that is wrong with a configuration: where, what, and what to do."""

import re

from msgspec import Struct

_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
_LONGEST_SHOWN = 60


class Problem(Struct, frozen=True):
    """A problem, as a person reads it: `jobs[1].depends_on[0]: there is no job 'a'; ...`.

    Args:
        place: Where in the file, `jobs[2].timeout`; empty for the file as a whole.
        what: What is wrong, without a full stop.
        hint: What to do about it; may be empty.
    """

    place: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.what}; {self.hint}" if self.hint else self.what
        return f"{self.place}: {text}" if self.place else text


def quoted(text: str) -> str:
    """Show foreign text in quotes, cut to a line, with nothing that a terminal would obey."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")


def within(place: str, key: str) -> str:
    """The place of an object's field: `retry.backoff`, or `environment['A B']` for an odd name."""
    if not _PLAIN.fullmatch(key) or len(key) > _LONGEST_SHOWN:
        return f"{place}[{quoted(key)}]"
    return f"{place}.{key}" if place else key
