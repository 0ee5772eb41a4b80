"""The file of the jobs' environment, as a launch takes it."""

from spawn.core.boot.environment import parse
from spawn.core.errors import InvalidArgument

MOST_BYTES = 4096
"""What a parameter of the standard tier holds. Source: "Managing parameter tiers" of SSM."""


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
