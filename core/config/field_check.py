"""Check a JSON value against the declared fields and report every problem.

msgspec stops at the first error and names Python types; this check reports all errors in terms of
the file. Both read the same declarations, so a value that passes here also converts.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from math import isfinite, isnan
from typing import Any

from msgspec import inspect

from spawn.core.config import string_rules, suggestions
from spawn.core.config.document import DuplicateKeys
from spawn.core.config.fields import Fields, JobFile, QueueFile, RetryFile
from spawn.core.problems import Problem, child_place, quoted

_SUGGESTIONS = 200
"""Number of problems after which no more suggestions are computed, to save time."""


class _DeclaredFields:
    """The fields of an object, by their names in the file."""

    def __init__(self, cls: type[Fields]) -> None:
        info = inspect.type_info(cls)
        assert isinstance(info, inspect.StructType)
        self.cls = cls
        self.types = {field.encode_name: field.type for field in info.fields}
        self.required = frozenset(field.encode_name for field in info.fields if field.required)


_declared = cache(_DeclaredFields)


def check_document(value: object, problems: list[Problem]) -> None:
    """Check a whole file; append its problems in the order of the fields."""
    if isinstance(value, dict):
        _check_object(value, QueueFile, "", problems)
    else:
        what = f"expected an object, got {describe_value(value)}"
        problems.append(Problem("", what, 'a configuration is {"jobs": [...]}'))


def _check(value: object, type_: inspect.Type, place: str, problems: list[Problem]) -> None:
    kind = type_.type if isinstance(type_, inspect.Metadata) else type_
    match kind:
        case inspect.StrType() if isinstance(value, str):
            _check_text(value, kind, _extra(type_).get("rule"), place, problems)
        case inspect.IntType() if type(value) is int:
            _check_integer(value, kind, place, problems)
        case inspect.ListType() if isinstance(value, list):
            _check_list(value, kind, place, problems)
        case inspect.DictType() if isinstance(value, dict):
            _check_dict(value, kind, place, problems)
        case inspect.StructType(cls=cls) if isinstance(value, dict) and issubclass(cls, Fields):
            _check_object(value, cls, place, problems)
        case inspect.LiteralType(values=values) if isinstance(value, str):
            if value not in values:
                what = f"{quoted(value)} is not a valid value"
                problems.append(Problem(place, what, f"use {list_choices(values)}"))
        case inspect.BoolType() if isinstance(value, bool):
            pass
        case _:
            meta = _meta(type_)
            expected, got = describe_type(kind, meta), describe_value(value)
            what = f"expected {expected}, got {got}"
            problems.append(Problem(place, what, suggest_value(value, kind, meta)))


def _extra(type_: inspect.Type) -> Mapping[str, Any]:
    return (type_.extra or {}) if isinstance(type_, inspect.Metadata) else {}


def _meta(type_: inspect.Type) -> Mapping[str, Any]:
    described = type_.extra_json_schema if isinstance(type_, inspect.Metadata) else None
    return {**(described or {}), **_extra(type_)}


def _check_text(
    value: str,
    kind: inspect.StrType,
    rule: string_rules.Rule | None,
    place: str,
    problems: list[Problem],
) -> None:
    complaint = string_rules.readable(value)
    if complaint is None and kind.max_length is not None and len(value) > kind.max_length:
        complaint = f"has {len(value):,} characters", f"the limit is {kind.max_length}"
    if complaint is None and rule is not None:
        complaint = rule(value)
    if complaint is not None:
        problems.append(Problem(place, *complaint))


def _check_integer(value: int, kind: inspect.IntType, place: str, problems: list[Problem]) -> None:
    lower, upper = kind.ge, kind.le
    if (lower is not None and value < lower) or (upper is not None and value > upper):
        hint = f"write a whole number from {lower} to {upper}"
        problems.append(Problem(place, f"{value} is out of range", hint))


def _check_list(
    value: list[object], kind: inspect.ListType, place: str, problems: list[Problem]
) -> None:
    if kind.min_length is not None and len(value) < kind.min_length:
        problems.append(Problem(place, "is empty", "add at least one entry"))
    elif kind.max_length is not None and len(value) > kind.max_length:
        hint = f"the limit is {kind.max_length:,}"
        problems.append(Problem(place, f"has {len(value):,} entries", hint))
    else:
        for index, item in enumerate(value):
            _check(item, kind.item_type, f"{place}[{index}]", problems)


def _check_dict(
    value: dict[str, object], kind: inspect.DictType, place: str, problems: list[Problem]
) -> None:
    _report_duplicates(value, place, problems)
    for key, item in value.items():
        inner = child_place(place, key)
        _check(key, kind.key_type, inner, problems)
        _check(item, kind.value_type, inner, problems)


def _check_object(
    value: dict[str, object], cls: type[Fields], place: str, problems: list[Problem]
) -> None:
    declared = _declared(cls)
    _report_duplicates(value, place, problems)
    suggested = _report_unknown(value, declared, place, problems)
    valid: dict[str, object] = {}
    above = f"{place}." if place else ""
    for name, type_ in declared.types.items():
        if name in value:
            before = len(problems)
            _check(value[name], type_, above + name, problems)
            if len(problems) == before:
                valid[name] = value[name]
        elif name in declared.required and name not in suggested:
            hint = suggest_example(_meta(type_))
            problems.append(Problem(above + name, "is missing", hint))
    for keep, drop in cls.spellings:
        if keep in value and drop in value:
            what = f"means the same as {keep!r}"
            problems.append(Problem(above + drop, what, f"keep only {keep!r}"))
    for name, what, hint in cls.conflicts(valid):
        problems.append(Problem(above + name, what, hint))


def _report_duplicates(value: dict[str, object], place: str, problems: list[Problem]) -> None:
    if isinstance(value, DuplicateKeys):
        problems.extend(
            Problem(child_place(place, key), "duplicate key", "keep only one")
            for key in value.duplicates
        )


def _report_unknown(
    value: dict[str, object], declared: _DeclaredFields, place: str, problems: list[Problem]
) -> set[str]:
    """Report the unknown fields; return the fields suggested in their place."""
    suggested = set()
    for key in value:
        if key not in declared.types:
            field, hint = None, ""
            if len(problems) < _SUGGESTIONS:
                field, hint = _suggestion(key, declared.cls)
            problems.append(Problem(child_place(place, key), "unknown field", hint))
            if field is not None:
                suggested.add(field)
    return suggested


@lru_cache(maxsize=256)
def _suggestion(key: str, cls: type[Fields]) -> tuple[str | None, str]:
    """Return the field that the user probably intended, if any, and the hint."""
    fields = tuple(_declared(cls).types)
    field = suggestions.synonym(key, fields)
    if field is None:
        for other in (QueueFile, JobFile, RetryFile):
            if key in _declared(other).types:
                return None, f"it belongs {other.where}"
        field = suggestions.nearest_name(key, fields)
    if field is None:
        return None, f"the fields {cls.where} are {', '.join(fields)}"
    remark = suggestions.remark(key)
    return field, f"did you mean {field!r}?" + (f" ({remark})" if remark else "")


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
