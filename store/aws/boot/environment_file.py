"""The environment file of a launch: read the user's format, write systemd's format."""

import re
from collections.abc import Iterator, Mapping

from spawn.core.config import references
from spawn.core.config.model import QueueConfig
from spawn.core.errors import InvalidArgument

MOST_BYTES = 4096
"""Maximum size of a standard-tier parameter. Source: "Managing parameter tiers" of SSM."""
_FROM_SYSTEM = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER")
"""Variables that systemd sets for every service."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "$": "$"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL = re.compile(r'(["\\`$])')


def parse_environment(text: str) -> dict[str, str]:
    """Parse `NAME=VALUE` lines; blank lines and lines that begin with `#` are ignored.

    An unquoted value is literal, `$` included. A quoted value may span lines; the closing quote
    must be the last character of its line. In double quotes, `\\n \\t \\" \\\\ \\$` are escapes.

    Raises:
        ValueError: A line is invalid. The message has its number, and no part of its content.
    """
    found: dict[str, str] = {}
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        first = number + 1
        line = lines[number].removesuffix("\r")
        number += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not _NAME.fullmatch(name.strip()):
            raise ValueError(f"line {first} is not NAME=VALUE")
        value = value.strip()
        if value[:1] in ("'", '"'):
            mark = value[0]
            while not _closed(value, mark):
                if number == len(lines):
                    raise ValueError(f"line {first} has an unclosed quote")
                value += "\n" + lines[number].removesuffix("\r")
                number += 1
            value = value.rstrip()[1:-1]
            if mark == '"':
                value = _ESCAPED.sub(lambda m: _ESCAPES.get(m[1], m[0]), value)
        if "\0" in value:
            raise ValueError(f"line {first} contains a NUL character")
        found[name.strip()] = value
    return found


def check_environment(data: bytes, name: str) -> str:
    """Check that the file is valid and fits into a parameter; return its text.

    Args:
        name: Name of the file in error messages.

    Raises:
        InvalidArgument: The file is invalid or too large. The message contains no values.
    """
    hint = "each line is KEY=VALUE or begins with #; values are not shown here"
    try:
        text = data.decode()
        found = parse_environment(text)
    except UnicodeDecodeError:
        raise InvalidArgument(f"{name} is not UTF-8", hint=hint) from None
    except ValueError as error:
        raise InvalidArgument(f"{name} cannot be read", why=str(error), hint=hint) from None
    if not found:
        raise InvalidArgument(f"{name} sets no variable", hint=hint)
    if len(data) > MOST_BYTES:
        raise InvalidArgument(
            f"{name} is too large",
            why=f"{len(data)} bytes; the limit of a free SSM parameter is {MOST_BYTES}",
            hint="put long values that are not secret into the configuration's `environment`",
        )
    return text


def unset_references(config: QueueConfig, text: str) -> Iterator[tuple[str, str]]:
    """Find references to variables that the instance does not set.

    Args:
        text: Content of the launch's environment file; empty without one.

    Returns:
        Pairs of job id and variable name, in the file's order.

    Raises:
        ValueError: `text` is invalid, as in `parse_environment`.
    """
    defined = {*parse_environment(text), *_FROM_SYSTEM}
    for job in config.jobs:
        used = [name for value in job.environment.values() for name in references.names(value)]
        for name in dict.fromkeys(used):
            if name not in defined:
                yield job.job_id, name


def encode_for_systemd(environment: Mapping[str, str]) -> str:
    """Write a file that systemd's `EnvironmentFile=` reads back exactly.

    In double quotes, line breaks are literal and four characters are escaped.
    Source: `parse_env_file` of systemd; systemd.exec(5).
    """
    lines = (f'{name}="{_SPECIAL.sub(_escape, value)}"\n' for name, value in environment.items())
    return "".join(lines)


def _escape(found: re.Match[str]) -> str:
    return "\\" + found[1]


def _closed(value: str, mark: str) -> bool:
    """Whether a quoted value ends with its closing quote, not escaped by a backslash."""
    value = value.rstrip()
    if len(value) < 2 or not value.endswith(mark):
        return False
    inside = value[1:-1]
    slashes = len(inside) - len(inside.rstrip("\\"))
    return mark == "'" or slashes % 2 == 0
