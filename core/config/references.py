"""`${NAME}` references in the values of `environment`, expanded when the job starts.

Only this form is a reference. `$`, `$NAME` and `$$` are kept literally. Any other `${` is an error,
because a shell would expand it differently.
"""

import re
from collections.abc import Mapping

NAME = "[A-Za-z_][A-Za-z0-9_]*"
"""Regular expression of a variable name."""

_REFERENCE = re.compile(rf"\$\{{({NAME})\}}")
_BROKEN = re.compile(rf"\$\{{(?!{NAME}\}})[^}}]{{0,20}}\}}?")


def broken(value: str) -> str | None:
    """Return the first invalid `${` in `value`, with up to 20 more characters, or None."""
    match = _BROKEN.search(value)
    return match.group() if match else None


def names(value: str) -> tuple[str, ...]:
    """Return the variables that `value` references, without duplicates, in order."""
    return tuple(dict.fromkeys(_REFERENCE.findall(value)))


def resolve(value: str, variables: Mapping[str, str]) -> str:
    """Expand the references once; expanded values are not expanded again.

    Raises:
        KeyError: A variable is not set; the argument is its name.
    """
    return _REFERENCE.sub(lambda match: variables[match.group(1)], value)
