"""Parse the bytes of a configuration file as JSON."""

import json
import re
from collections import Counter
from math import copysign, inf

from spawn.core.problems import Problem

_LONGEST_INTEGER = 19
"""Maximum number of digits; Python itself rejects more than 4300."""


class DocumentError(ValueError):
    """The bytes are not valid JSON.

    Args:
        problem: The error as reported to the user.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class DuplicateKeys(dict[str, object]):
    """A JSON object with duplicate keys; the last value wins, as in `dict`.

    Attributes:
        duplicates: The keys that occur more than once, in order.
    """

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs)
        self.duplicates = tuple(key for key, count in counts.items() if count > 1)


def parse_json(data: bytes) -> object:
    """Parse UTF-8 JSON; a byte order mark is ignored.

    Objects with duplicate keys are returned as `DuplicateKeys`. Integers of more than 19 digits
    are returned as infinity, and `NaN` and `Infinity` as themselves: no field accepts them, so the
    check reports each with its place.

    Raises:
        DocumentError: The bytes are not UTF-8 or not JSON.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"not UTF-8: line {line} has the invalid byte 0x{data[error.start]:02x}"
        raise DocumentError(Problem("", what, "save the file as UTF-8")) from None
    if not text.strip():
        hint = 'a configuration is {"jobs": [{"job_id": "...", "command": "..."}]}'
        raise DocumentError(Problem("", "the file is empty", hint))
    try:
        return json.loads(text, object_pairs_hook=_make_object, parse_int=_parse_integer)
    except json.JSONDecodeError as error:
        what = f"not JSON: {_message(error)} at line {error.lineno}, column {error.colno}"
        raise DocumentError(Problem("", what, _hint(error, text))) from None
    except RecursionError:
        what = "lists or objects are nested too deeply"
        hint = "a configuration has at most five levels"
        raise DocumentError(Problem("", what, hint)) from None


def _make_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    return value if len(value) == len(pairs) else DuplicateKeys(pairs)


def _parse_integer(digits: str) -> int | float:
    if len(digits) <= _LONGEST_INTEGER:
        return int(digits)
    return copysign(inf, -1 if digits[0] == "-" else 1)


def _message(error: json.JSONDecodeError) -> str:
    return (error.msg[:1].lower() + error.msg[1:]).removesuffix(" at")


def _hint(error: json.JSONDecodeError, text: str) -> str:
    """Return a hint for the most common cause; may be empty."""
    here = text[error.pos : error.pos + 2]
    before = text[max(error.pos - 200, 0) : error.pos].rstrip()[-1:]
    if here[:1] == "#" or here in ("//", "/*"):
        return "JSON does not allow comments"
    if here[:1] == "'":
        return "JSON requires double quotes"
    if error.msg == "Extra data":
        return "a configuration is a single object"
    if before == "," and here[:1] in ("}", "]"):
        return "remove the comma before it"
    if re.match(r"[\"{\[]", here) and before in ('"', "}", "]"):
        return "a comma is missing before it"
    return ""
