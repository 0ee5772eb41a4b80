"""What a text must be, field by field: each rule says what is wrong and what to do, or None."""

import re
from collections.abc import Callable

from spawn.core import durations
from spawn.core.config import references
from spawn.core.config.problems import quoted
from spawn.core.ids import ID_RULE, is_safe, why_not_queue_id

Complaint = tuple[str, str]
"""What is wrong, and what to do about it (may be empty)."""
Rule = Callable[[str], Complaint | None]

MAX_PREFIX = 512
"""Bytes, half of what an S3 key can have: a job's files stand below the prefix."""

RESERVED = ("JOB_ID", "JOB_ATTEMPT", "QUEUE_ID")
RESERVED_PREFIX = "SPAWN_"

_UNREADABLE = re.compile("[\0\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(references.NAME)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")


def readable(text: str) -> Complaint | None:
    """Every text: no program takes a NUL in an argument, and half a character has no UTF-8."""
    match = _UNREADABLE.search(text)
    if match is None:
        return None
    if match.group() == "\0":
        return "contains a NUL character, \\u0000", "take it out"
    return f"contains \\u{ord(match.group()):04x}, which is half a character", "take it out"


def job_id(text: str) -> Complaint | None:
    """A job's name stands in file names and S3 keys."""
    return None if is_safe(text) else (f"{quoted(text)} cannot be a job id", f"an id is {ID_RULE}")


def queue_id(text: str) -> Complaint | None:
    """A queue's name, besides, must not read as a target of `spawn queue status`."""
    why = why_not_queue_id(text)
    return None if why is None else (f"{quoted(text)} cannot be a queue id", why)


def queue_name(text: str) -> Complaint | None:
    """A title for people, on one line."""
    if not text.strip():
        return "is empty", "write a title, or leave it out"
    if _CONTROL.search(text):
        return "has a line break or another control character", "write it on one line"
    return None


def command(text: str) -> Complaint | None:
    """A line for bash, or several."""
    return None if text.strip() else ("is empty", "write what bash shall run")


def duration(text: str) -> Complaint | None:
    """A duration that may be zero."""
    try:
        durations.parse(text)
    except ValueError as error:
        what, _, hint = str(error).partition("; ")
        return what, hint
    return None


def limit(text: str) -> Complaint | None:
    """A duration after which something is ended: zero would end it at once."""
    if complaint := duration(text):
        return complaint
    if durations.parse(text) > 0:
        return None
    return f"{quoted(text)} leaves no time at all", "leave the field out for no limit"


def path(text: str) -> Complaint | None:
    """A folder or a pattern: no shell reads it, so `~` and `$` would be taken literally."""
    if not text.strip():
        return "is empty", 'write a path, "." for the folder itself'
    if text[0] in "~$":
        return (
            f"{quoted(text)} begins with {text[0]!r}, which only a shell replaces",
            f'write the path out, or "./{text[0]}..." when it is really called that',
        )
    return None


def variable(text: str) -> Complaint | None:
    """A name in `environment`."""
    if text in RESERVED or text.startswith(RESERVED_PREFIX):
        return "spawn sets this variable itself", "use another name"
    if _NAME.fullmatch(text):
        return None
    rule = "a name is letters, digits and '_', and does not begin with a digit"
    return f"{quoted(text)} cannot be a variable's name", rule


def variable_value(text: str) -> Complaint | None:
    """A value in `environment`; `${NAME}` in it must be whole."""
    found = references.broken(text)
    if found is None:
        return None
    return (
        f"{quoted(found)} is not a reference",
        "only ${NAME} is replaced; what else a shell can do belongs in the command",
    )


def bucket(text: str) -> Complaint | None:
    """An S3 bucket's name.

    Source: "General purpose bucket naming rules" of the Amazon S3 User Guide.
    """
    if text.startswith("s3:"):
        return f"{quoted(text)} is an address", "write the bucket's name alone"
    if _BUCKET.fullmatch(text) and ".." not in text and not _ADDRESS.fullmatch(text):
        return None
    rule = "a name is 3 to 63 small letters, digits, '-' or '.'"
    return f"{quoted(text)} cannot be a bucket's name", rule


def prefix(text: str) -> Complaint | None:
    """Where in the bucket the queue's objects stand, also a folder below the local store."""
    if text.startswith("s3:"):
        return f"{quoted(text)} is an address", "write what follows the bucket, like teams/vision"
    if text.startswith("/"):
        return f"{quoted(text)} begins with '/'", "leave that out"
    parts = text.removesuffix("/").split("/")
    if "" in parts:
        return f"{quoted(text)} has an empty part", "write it like teams/vision, or leave it out"
    if "." in parts or ".." in parts:
        return f"{quoted(text)} has a part that leads elsewhere", "leave '.' and '..' out"
    if _CONTROL.search(text):
        return "has a line break or another control character", "take it out"
    if (size := len(text.encode())) > MAX_PREFIX:
        return f"has {size} bytes", f"shorten it to at most {MAX_PREFIX}"
    return None
