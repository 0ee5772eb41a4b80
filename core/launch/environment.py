"""The file of the jobs' environment: lines of `KEY=VALUE`, as docker's `--env-file` has them."""

import re

from spawn.core.errors import InvalidArgument

MOST_BYTES = 4096
"""What a parameter of the standard tier holds. Source: "Managing parameter tiers" of SSM."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HINT = "each line is KEY=VALUE, or begins with #; no value is shown here"


def parse(data: bytes, name: str) -> dict[str, str]:
    """Read the file. A value is all that follows the first `=`, as it stands: quotes and `$` are
    part of it. Comments and empty lines are left out.

    Args:
        name: What to call the file.

    Raises:
        InvalidArgument: It is no such file, or too large; no value is told.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InvalidArgument(f"{name} is not UTF-8", hint=_HINT) from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.lstrip().partition("=")
        why = ""
        if not equals:
            why = "it has no `=`"
        elif _NAME.fullmatch(key) is None:
            why = "what stands before its `=` is no name of a variable"
        elif key in found:
            why = f"{key} is there twice"
        elif not all(each.isprintable() or each == "\t" for each in value):
            why = f"the value of {key} has a character that no line can have"
        if why:
            raise InvalidArgument(f"line {number} of {name} cannot be read", why=why, hint=_HINT)
        found[key] = value
    if not found:
        raise InvalidArgument(f"{name} sets nothing", hint=_HINT)
    size = len(encode(found).encode())
    if size > MOST_BYTES:
        raise InvalidArgument(
            f"{name} is too large",
            why=f"{size} bytes; a parameter of SSM holds {MOST_BYTES}, and larger ones cost",
            hint="what is long and no secret can stand in the configuration's `environment`",
        )
    return found


def encode(values: dict[str, str]) -> str:
    """The text that the instance is given: a line for each, in the file's order."""
    return "".join(f"{key}={value}\n" for key, value in values.items())
