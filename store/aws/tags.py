"""The tags of an instance: spawn's own, which other commands read, and the user's."""

from collections.abc import Sequence

from spawn.core.errors import InvalidArgument

QUEUE = "spawn:queue-id"
RESULTS = "spawn:results-location"
USER = "spawn:ssh-user"
LAUNCH = "spawn:launch-id"
ENVIRONMENT = "spawn:env-parameter"
"""SSM parameter with the jobs' environment; deleted when the instance is terminated."""
NAME = "Name"
MOST = 50
"""Maximum number of tags. Source: "Tag your Amazon EC2 resources", tag restrictions."""
_KEY_LENGTH = 128
_VALUE_LENGTH = 256
_OURS = "spawn:"
_OURS_COUNT = 6


def parse_tags(texts: Sequence[str]) -> dict[str, str]:
    """Parse the user's tags, `KEY=VALUE` each.

    Raises:
        InvalidArgument: A tag is invalid, reserved for AWS or spawn, or set twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        why = _why_not(key, equals, value)
        if why is None and key in found:
            why = "the key is set twice"
        if why is not None:
            raise InvalidArgument(f"--tag {text} is invalid", why=why, hint="--tag project=digits")
        found[key] = value
    if len(found) > MOST - _OURS_COUNT:
        raise InvalidArgument(
            f"{len(found)} tags are too many",
            why=f"the limit of EC2 is {MOST}, and spawn sets {_OURS_COUNT}",
        )
    return found


def instance_tags(
    *,
    queue_id: str,
    location: str,
    user: str,
    launch_id: str,
    name: str,
    more: dict[str, str],
    parameter: str = "",
) -> dict[str, str]:
    """Return all tags of an instance.

    Args:
        more: The user's own tags.
        parameter: Name of the parameter with the jobs' environment; empty for none.

    Raises:
        InvalidArgument: A value of spawn's own tags is too long.
    """
    ours = {QUEUE: queue_id, RESULTS: location, USER: user, LAUNCH: launch_id, NAME: name}
    ours |= {ENVIRONMENT: parameter} if parameter else {}
    for key, value in ours.items():
        if len(value) > _VALUE_LENGTH:
            raise InvalidArgument(
                f"the tag {key} would be too long",
                why=f"'{value[:40]}...' has {len(value)} characters; the limit is {_VALUE_LENGTH}",
                hint="a shorter --name" if key == NAME else "a shorter --prefix",
            )
    return {**ours, **more}


def _why_not(key: str, equals: str, value: str) -> str | None:
    if not equals or not key.strip():
        return "a tag is KEY=VALUE"
    if key.lower().startswith("aws:"):
        return "AWS reserves keys that begin with aws:"
    if key.lower().startswith(_OURS):
        return f"spawn reserves keys that begin with {_OURS}"
    if key == NAME:
        return "--name sets this tag"
    if len(key) > _KEY_LENGTH or len(value) > _VALUE_LENGTH:
        return f"a key has at most {_KEY_LENGTH} characters, a value {_VALUE_LENGTH}"
    if not (key + value).isprintable():
        return "it contains a character that is not printable"
    return None
