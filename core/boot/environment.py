"""The environment that a launch gives to its jobs: how people write it, how systemd reads it."""

import re
from collections.abc import Iterator, Mapping

from spawn.core.config import references
from spawn.core.config.model import QueueConfig
from spawn.core.errors import InvalidArgument

MOST_BYTES = 4096
"""What a parameter of the standard tier holds. Source: "Managing parameter tiers" of SSM."""
_FROM_SYSTEM = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER")
"""What a service has by itself."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "$": "$"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL = re.compile(r'(["\\`$])')


def parse(text: str) -> dict[str, str]:
    """Read `NAME=VALUE` lines; blank ones and those that begin with `#` say nothing.

    A value is taken as it stands, `$` included. In quotes, which must be the line's last character
    or one of a later line, it may have line breaks; in double ones `\\n \\t \\" \\\\ \\$` are
    escapes.

    Raises:
        ValueError: A line is none of that; it is named by its number, and nothing of it is quoted.
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
                    raise ValueError(f"line {first} opens a quote that nothing closes")
                value += "\n" + lines[number].removesuffix("\r")
                number += 1
            value = value.rstrip()[1:-1]
            if mark == '"':
                value = _ESCAPED.sub(lambda m: _ESCAPES.get(m[1], m[0]), value)
        if "\0" in value:
            raise ValueError(f"line {first} has a NUL")
        found[name.strip()] = value
    return found


def check(data: bytes, name: str) -> str:
    """See that the instance will be able to read the file, and that a parameter holds it; returns
    its text.

    Args:
        name: What to call the file.

    Raises:
        InvalidArgument: It is no such file, or too large; no value is told.
    """
    hint = "each line is KEY=VALUE, or begins with #; no value is shown here"
    try:
        text = data.decode()
        found = parse(text)
    except UnicodeDecodeError:
        raise InvalidArgument(f"{name} is not UTF-8", hint=hint) from None
    except ValueError as error:
        raise InvalidArgument(f"{name} cannot be read", why=str(error), hint=hint) from None
    if not found:
        raise InvalidArgument(f"{name} sets nothing", hint=hint)
    if len(data) > MOST_BYTES:
        raise InvalidArgument(
            f"{name} is too large",
            why=f"{len(data)} bytes; a parameter of SSM holds {MOST_BYTES}, and larger ones cost",
            hint="what is long and no secret can stand in the configuration's `environment`",
        )
    return text


def unset(config: QueueConfig, text: str) -> Iterator[tuple[str, str]]:
    """What a configuration takes from the environment that an instance will not have.

    Args:
        text: What the launch's file has; empty without one.

    Returns:
        Jobs, in the file's order, each with a name.

    Raises:
        ValueError: See `parse`.
    """
    there = {*parse(text), *_FROM_SYSTEM}
    for job in config.jobs:
        wanted = [name for value in job.environment.values() for name in references.names(value)]
        for name in dict.fromkeys(wanted):
            if name not in there:
                yield job.job_id, name


def encode(environment: Mapping[str, str]) -> str:
    """Write a file that systemd's `EnvironmentFile=` reads back exactly: in double quotes line
    breaks stand for themselves, and four characters are escaped.

    Source: `parse_env_file` of systemd; systemd.exec(5).
    """
    lines = (f'{name}="{_SPECIAL.sub(_escape, value)}"\n' for name, value in environment.items())
    return "".join(lines)


def _escape(found: re.Match[str]) -> str:
    return "\\" + found[1]


def _closed(value: str, mark: str) -> bool:
    """Whether a quoted value ends where it should: with its mark, which no backslash escapes."""
    value = value.rstrip()
    if len(value) < 2 or not value.endswith(mark):
        return False
    inside = value[1:-1]
    slashes = len(inside) - len(inside.rstrip("\\"))
    return mark == "'" or slashes % 2 == 0
