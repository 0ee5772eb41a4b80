"""The tags of an instance: what other commands read, and a person's own."""

from collections.abc import Sequence

from spawn.core.errors import InvalidArgument

QUEUE = "spawn:queue-id"
RESULTS = "spawn:results-location"
USER = "spawn:ssh-user"
LAUNCH = "spawn:launch-id"
ENVIRONMENT = "spawn:env-parameter"
"""The parameter of SSM with the jobs' environment, if there is one: it goes with the instance."""
NAME = "Name"
MOST = 50
"""Source: "Tag your Amazon EC2 resources", tag restrictions."""
_KEY_LENGTH = 128
_VALUE_LENGTH = 256
_OURS = "spawn:"
_OURS_COUNT = 6


def parse(texts: Sequence[str]) -> dict[str, str]:
    """Read a person's tags, `KEY=VALUE` each.

    Raises:
        InvalidArgument: One is none, is kept for AWS or for us, or is named twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        why = _why_not(key, equals, value)
        if why is None and key in found:
            why = "it is there twice"
        if why is not None:
            raise InvalidArgument(f"--tag {text} cannot be", why=why, hint="--tag project=digits")
        found[key] = value
    if len(found) > MOST - _OURS_COUNT:
        raise InvalidArgument(
            f"{len(found)} tags are too many", why=f"EC2 takes {MOST}, and {_OURS_COUNT} are ours"
        )
    return found


def of_instance(
    *,
    queue_id: str,
    location: str,
    user: str,
    launch_id: str,
    name: str,
    more: dict[str, str],
    parameter: str = "",
) -> dict[str, str]:
    """All tags of an instance.

    Args:
        parameter: Of its jobs' environment; empty for none.

    Raises:
        InvalidArgument: One of ours is longer than a tag can be.
    """
    ours = {QUEUE: queue_id, RESULTS: location, USER: user, LAUNCH: launch_id, NAME: name}
    ours |= {ENVIRONMENT: parameter} if parameter else {}
    for key, value in ours.items():
        if len(value) > _VALUE_LENGTH:
            raise InvalidArgument(
                f"the tag {key} would be too long",
                why=f"'{value[:40]}...' has {len(value)} characters, a tag {_VALUE_LENGTH} at most",
                hint="a shorter --name" if key == NAME else "a shorter --prefix",
            )
    return {**ours, **more}


def _why_not(key: str, equals: str, value: str) -> str | None:
    if not equals or not key.strip():
        return "a tag is KEY=VALUE"
    if key.lower().startswith("aws:"):
        return "keys that begin with aws: are AWS's own"
    if key.lower().startswith(_OURS):
        return f"keys that begin with {_OURS} are set by spawn"
    if key == NAME:
        return "--name says it"
    if len(key) > _KEY_LENGTH or len(value) > _VALUE_LENGTH:
        return f"a key has {_KEY_LENGTH} characters at most, a value {_VALUE_LENGTH}"
    if not (key + value).isprintable():
        return "it has a character that cannot be printed"
    return None
