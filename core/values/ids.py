"""Ids that are safe as file names, S3 keys and arguments."""

import re
from datetime import datetime

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ASIDE = re.compile(r".*\.fenced-\d+(-\d+)?")
_INSTANCE = re.compile(r"i-[0-9a-f]+")
_INSTANCE_LIKE = re.compile(r"i-[0-9a-z]+", re.IGNORECASE)
_INSTANCE_DIGITS = (8, 17)
INSTANCE_RULE = "an instance id is i- and 8 or 17 lowercase hex digits"
ID_RULE = "1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit"


def is_safe(name: str) -> bool:
    """Return whether `name` is a valid job id."""
    return _SAFE.fullmatch(name) is not None


def is_instance_id(name: str) -> bool:
    """Return whether `name` has the form of an EC2 instance id, `i-<hex>`."""
    return _INSTANCE.fullmatch(name) is not None


def is_mistyped_instance_id(name: str) -> bool:
    """Return whether `name` resembles an instance id but cannot be one: `i-xyz`, `i-12345`."""
    if is_instance_id(name):
        return len(name) - len("i-") not in _INSTANCE_DIGITS
    return _INSTANCE_LIKE.fullmatch(name) is not None


def why_not_queue_id(name: str) -> str | None:
    """Return why `name` cannot be a queue id; None if it can."""
    if not is_safe(name):
        return f"an id is {ID_RULE}"
    if name == "local":
        return "'local' means this machine's own queue"
    if is_instance_id(name):
        return "it has the form of an EC2 instance id"
    if _ASIDE.fullmatch(name):
        return "names that end in '.fenced-N' are reserved for queues that another owner took over"
    return None


def new_queue_id(now: datetime) -> str:
    """Return a queue id made of the submission time: `queue-YYYYMMDD-HHMMSS`."""
    return f"queue-{now:%Y%m%d-%H%M%S}"
