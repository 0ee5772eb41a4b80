"""Text for errors: describe JSON values and field types, and suggest corrected values."""

import json
import re
from collections.abc import Iterable, Mapping
from math import isfinite, isnan
from typing import Any

from msgspec import inspect

from spawn.core.config.problems import quoted

_BARE_WORD = re.compile(r"[A-Za-z0-9_./:=,@%+-]+")
_INTEGER = re.compile(r"-?[0-9]{1,9}")
_LONGEST_SUGGESTION = 200


def describe_value(value: object) -> str:
    """Describe a JSON value, such as `the number 90` or `a list`."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        if isnan(value):
            return "NaN, which is not JSON"
        return f"the number {value}" if isfinite(value) else "a number that is too large"
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    return "a list" if isinstance(value, list) else "an object"


def describe_type(kind: inspect.Type, meta: Mapping[str, Any]) -> str:
    """Describe the values that a field accepts, such as `a whole number`."""
    if "wanted" in meta:
        return str(meta["wanted"])
    match kind:
        case inspect.LiteralType():
            return list_choices(kind.values)
        case inspect.IntType():
            return "a whole number"
        case inspect.BoolType():
            return "true or false"
    return "a string"


def suggest_value(value: object, kind: inspect.Type, meta: Mapping[str, Any]) -> str:
    """Suggest what to write instead of a value of the wrong type; may be empty."""
    instead = suggest_example(meta)
    match kind, value:
        case _, None:
            return f"{instead}, or remove it" if instead else "remove it"
        case _, bool():
            pass
        case inspect.StrType(), int() if value > 0:
            return _write(f"{value}{meta.get('unit', '')}")
        case inspect.StrType(), [*words] if words and all(map(_is_word, words)):
            return _write(" ".join(map(str, words)))
        case inspect.IntType(), str() if _INTEGER.fullmatch(value):
            return f"write {value} without quotes"
        case inspect.BoolType(), "true" | "false":
            return f"write {value} without quotes"
        case inspect.StructType(), int() if "number_is" in meta:
            return f'write "{meta["number_is"]}": {value}'
        case inspect.ListType(item_type=item), str() if _accepts_string(item):
            return _write([value])
        case inspect.ListType(), dict() if "key" in meta:
            key, name = meta["key"], json.dumps(next(iter(value), "train"))[:_LONGEST_SUGGESTION]
            return f'write a list with the names as "{key}": [{{"{key}": {name}, ...}}, ...]'
        case inspect.DictType(), [*entries] if all(map(_is_assignment, entries)):
            return _write(dict(str(entry).split("=", 1) for entry in entries))
    return instead


def suggest_example(meta: Mapping[str, Any]) -> str:
    """Suggest the field's first example; empty if it has none."""
    return f"write {json.dumps(meta['examples'][0])}" if meta.get("examples") else ""


def list_choices(values: Iterable[object]) -> str:
    """Format the values that a field accepts: `'a', 'b' or 'c'`."""
    *first, last = map(repr, values)
    return f"{', '.join(first)} or {last}" if first else last


def _write(value: object) -> str:
    text = json.dumps(value)
    return f"write {text}" if len(text) <= _LONGEST_SUGGESTION else ""


def _accepts_string(item: inspect.Type) -> bool:
    return isinstance(item.type if isinstance(item, inspect.Metadata) else item, inspect.StrType)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and _BARE_WORD.fullmatch(value) is not None


def _is_assignment(value: object) -> bool:
    return isinstance(value, str) and "=" in value
