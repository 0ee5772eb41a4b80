"""Names that are safe as file names, S3 keys and arguments."""

import re
from datetime import datetime

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ASIDE = re.compile(r".*\.fenced-\d+(-\d+)?")
_INSTANCE = re.compile(r"i-[0-9a-f]+")
_INSTANCE_LIKE = re.compile(r"i-[0-9a-z]+", re.IGNORECASE)
_INSTANCE_DIGITS = (8, 17)
INSTANCE_RULE = "one is i- and 17 hex digits, or 8, in small letters"
ID_RULE = "1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit"


def is_safe(name: str) -> bool:
    """Whether `name` can stand as a job id."""
    return _SAFE.fullmatch(name) is not None


def is_instance_id(name: str) -> bool:
    """Whether `name` reads as an EC2 instance id, `i-<hex>`."""
    return _INSTANCE.fullmatch(name) is not None


def is_mistyped_instance_id(name: str) -> bool:
    """Whether `name` looks like an instance id and EC2 gives no such: `i-xyz`, `i-12345`."""
    if is_instance_id(name):
        return len(name) - len("i-") not in _INSTANCE_DIGITS
    return _INSTANCE_LIKE.fullmatch(name) is not None


def why_not_queue_id(name: str) -> str | None:
    """Say why `name` cannot be a queue id, or None when it can."""
    if not is_safe(name):
        return f"an id is {ID_RULE}"
    if name == "local":
        return "'local' means this machine's own queue"
    if is_instance_id(name):
        return "it reads as an EC2 instance id"
    if _ASIDE.fullmatch(name):
        return "names that end in '.fenced-N' are kept for queues that somebody else took"
    return None


def new_queue_id(now: datetime) -> str:
    """Name a queue after the moment of its submission: `queue-YYYYMMDD-HHMMSS`."""
    return f"queue-{now:%Y%m%d-%H%M%S}"
