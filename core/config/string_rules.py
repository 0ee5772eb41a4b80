"""Validation of strings, one rule per field type. A rule returns None for a valid string."""

import re
from collections.abc import Callable

from spawn.core.config import references
from spawn.core.problems import quoted
from spawn.core.values import durations
from spawn.core.values.ids import ID_RULE, is_safe, why_not_queue_id

Complaint = tuple[str, str]
"""The problem and the hint (may be empty)."""
Rule = Callable[[str], Complaint | None]

MAX_PREFIX = 512
"""Bytes; half of the maximum S3 key, to leave room for the names below the prefix."""

RESERVED = ("JOB_ID", "JOB_ATTEMPT", "QUEUE_ID")
RESERVED_PREFIX = "SPAWN_"

_UNREADABLE = re.compile("[\0\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(references.NAME)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")


def readable(text: str) -> Complaint | None:
    """Check any string: an argument cannot contain NUL, and UTF-8 cannot encode surrogates."""
    match = _UNREADABLE.search(text)
    if match is None:
        return None
    if match.group() == "\0":
        return "contains a NUL character, \\u0000", "remove it"
    return f"contains the unpaired surrogate \\u{ord(match.group()):04x}", "remove it"


def job_id(text: str) -> Complaint | None:
    """Check a job id, which becomes part of file names and S3 keys."""
    return None if is_safe(text) else (f"{quoted(text)} cannot be a job id", f"an id is {ID_RULE}")


def queue_id(text: str) -> Complaint | None:
    """Check a queue id; `local` and instance ids are other targets of `spawn queue status`."""
    why = why_not_queue_id(text)
    return None if why is None else (f"{quoted(text)} cannot be a queue id", why)


def queue_name(text: str) -> Complaint | None:
    """Check a title: one line, not blank."""
    if not text.strip():
        return "is empty", "write a title, or remove it"
    if _CONTROL.search(text):
        return "contains a line break or another control character", "write it on one line"
    return None


def command(text: str) -> Complaint | None:
    """Check a shell command; it may have several lines."""
    return None if text.strip() else ("is empty", "write a shell command")


def duration(text: str) -> Complaint | None:
    """Check a duration; zero is valid."""
    try:
        durations.parse_duration(text)
    except durations.InvalidDuration as error:
        return error.what, error.hint
    return None


def limit(text: str) -> Complaint | None:
    """Check a time limit, which must be greater than zero."""
    if complaint := duration(text):
        return complaint
    if durations.parse_duration(text) > 0:
        return None
    return f"{quoted(text)} must be greater than zero", "remove the field for no limit"


def path(text: str) -> Complaint | None:
    """Check a path or pattern; no shell expands it, so a leading `~` or `$` is a mistake."""
    if not text.strip():
        return "is empty", 'write a path, or "." for the folder itself'
    if text[0] in "~$":
        return (
            f"{quoted(text)} begins with {text[0]!r}, which only a shell expands",
            f'write the full path, or "./{text[0]}..." if the name begins with {text[0]!r}',
        )
    return None


def variable(text: str) -> Complaint | None:
    """Check a variable name in `environment`."""
    if text in RESERVED or text.startswith(RESERVED_PREFIX):
        return "is reserved for variables that spawn sets", "use another name"
    if _NAME.fullmatch(text):
        return None
    rule = "a name is letters, digits and '_', and does not begin with a digit"
    return f"{quoted(text)} cannot be a variable name", rule


def variable_value(text: str) -> Complaint | None:
    """Check a variable value in `environment` for invalid `${NAME}` references."""
    found = references.broken(text)
    if found is None:
        return None
    return (
        f"{quoted(found)} is not a reference",
        "only ${NAME} is expanded; use other shell expansions in the command",
    )


def check_bucket_name(text: str) -> Complaint | None:
    """Check an S3 bucket name.

    Source: "General purpose bucket naming rules" of the Amazon S3 User Guide.
    """
    if text.startswith("s3:"):
        return f"{quoted(text)} is a URI", "write only the bucket name"
    if _BUCKET.fullmatch(text) and ".." not in text and not _ADDRESS.fullmatch(text):
        return None
    rule = "a name is 3 to 63 lowercase letters, digits, '-' or '.'"
    return f"{quoted(text)} cannot be a bucket name", rule


def check_prefix(text: str) -> Complaint | None:
    """Check the prefix of the queue's objects; it must also be valid as a local folder."""
    if text.startswith("s3:"):
        return f"{quoted(text)} is a URI", "write only the part after the bucket"
    if text.startswith("/"):
        return f"{quoted(text)} begins with '/'", "remove the leading '/'"
    parts = text.removesuffix("/").split("/")
    if "" in parts:
        return f"{quoted(text)} has an empty part", "write it like teams/vision, or remove it"
    if "." in parts or ".." in parts:
        return f"{quoted(text)} contains the part '.' or '..'", "remove it"
    if _CONTROL.search(text):
        return "contains a line break or another control character", "remove it"
    if (size := len(text.encode())) > MAX_PREFIX:
        return f"has {size} bytes", f"shorten it to at most {MAX_PREFIX}"
    return None
