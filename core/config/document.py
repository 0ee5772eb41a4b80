"""A file's bytes as a JSON value, or the one problem that keeps them from being one."""

import json
import re
from collections import Counter
from math import copysign, inf

from spawn.core.config.problems import Problem

_LONGEST_INTEGER = 19
"""Digits; Python itself refuses to read more than 4300."""


class DocumentError(ValueError):
    """The bytes are not a JSON text.

    Args:
        problem: What to tell the person who wrote them.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Repeating(dict[str, object]):
    """An object in which a key stands twice; it keeps the last, as `dict` does.

    Args:
        repeated: The keys that stand more than once, in order.
    """

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs)
        self.repeated = tuple(key for key, count in counts.items() if count > 1)


def read(data: bytes) -> object:
    """Read a JSON text in UTF-8; a byte order mark is passed over.

    Objects in which a key stands twice come as `Repeating`. A whole number that is too long to be
    meant comes as infinity; `NaN` and `Infinity`, which are not JSON, come as such: no field of a
    configuration takes any of them, and so each is reported at its place.

    Raises:
        DocumentError: It is not UTF-8, or not JSON.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"not UTF-8: line {line} has a byte 0x{data[error.start]:02x} that is no text"
        raise DocumentError(Problem("", what, "save the file as UTF-8")) from None
    if not text.strip():
        hint = 'a configuration is {"jobs": [{"job_id": "...", "command": "..."}]}'
        raise DocumentError(Problem("", "the file is empty", hint))
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except json.JSONDecodeError as error:
        what = f"not JSON: {_said(error)} at line {error.lineno}, column {error.colno}"
        raise DocumentError(Problem("", what, _advice(error, text))) from None
    except RecursionError:
        what = "lists or objects are nested too deeply"
        raise DocumentError(Problem("", what, "a configuration needs five levels")) from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    return value if len(value) == len(pairs) else Repeating(pairs)


def _integer(digits: str) -> int | float:
    if len(digits) <= _LONGEST_INTEGER:
        return int(digits)
    return copysign(inf, -1 if digits[0] == "-" else 1)


def _said(error: json.JSONDecodeError) -> str:
    return (error.msg[:1].lower() + error.msg[1:]).removesuffix(" at")


def _advice(error: json.JSONDecodeError, text: str) -> str:
    """What most often lies behind such an error."""
    here = text[error.pos : error.pos + 2]
    before = text[max(error.pos - 200, 0) : error.pos].rstrip()[-1:]
    if here[:1] == "#" or here in ("//", "/*"):
        return "JSON has no comments: take it out"
    if here[:1] == "'":
        return "JSON takes double quotes only"
    if error.msg == "Extra data":
        return "the whole file is one object"
    if before == "," and here[:1] in ("}", "]"):
        return "take out the comma before it"
    if re.match(r"[\"{\[]", here) and before in ('"', "}", "]"):
        return "a comma is missing before it"
    return ""
