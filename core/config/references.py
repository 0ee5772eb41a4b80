"""`${NAME}` in the values of `environment`: taken from the runner's environment at a job's start.

Only that form is a reference. A `$` by itself, `$NAME` and `$$` are left as they are; a `${` that
does not begin a reference is an error, since a shell would have read something else into it.
"""

import re
from collections.abc import Mapping

NAME = "[A-Za-z_][A-Za-z0-9_]*"
"""A variable's name, as a regular expression."""

_REFERENCE = re.compile(rf"\$\{{({NAME})\}}")
_BROKEN = re.compile(rf"\$\{{(?!{NAME}\}})[^}}]{{0,20}}\}}?")


def broken(value: str) -> str | None:
    """The first `${` in `value` that is not a reference, with what follows it; None for none."""
    match = _BROKEN.search(value)
    return match.group() if match else None


def names(value: str) -> tuple[str, ...]:
    """The variables that `value` refers to, once each, in order."""
    return tuple(dict.fromkeys(_REFERENCE.findall(value)))


def resolve(value: str, variables: Mapping[str, str]) -> str:
    """Put the variables' values in place of the references; what they hold is not looked into.

    Raises:
        KeyError: A variable is not set; its argument is the name.
    """
    return _REFERENCE.sub(lambda match: variables[match.group(1)], value)
