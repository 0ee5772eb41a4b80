"""Hold a JSON value against the declared fields and name everything that is wrong with it.

msgspec stops at the first error and speaks of Python's types; this goes on to the last and speaks
of the file. It reads the same declarations, so that what passes here also converts.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from msgspec import inspect

from spawn.core.config import names, rules, wording
from spawn.core.config.document import Repeating
from spawn.core.config.fields import Fields, JobFile, QueueFile, RetryFile
from spawn.core.config.problems import Problem, quoted, within

_SUGGESTIONS = 200
"""Problems after which names are no longer compared: nobody reads so far, and it takes time."""


class _Declared:
    """The fields of an object, by the names that they have in the file."""

    def __init__(self, cls: type[Fields]) -> None:
        info = inspect.type_info(cls)
        assert isinstance(info, inspect.StructType)
        self.cls = cls
        self.types = {field.encode_name: field.type for field in info.fields}
        self.required = frozenset(field.encode_name for field in info.fields if field.required)


_declared = cache(_Declared)


def check(value: object, problems: list[Problem]) -> None:
    """Check a whole file; append what is wrong, in the order of the fields."""
    if isinstance(value, dict):
        _object(value, QueueFile, "", problems)
    else:
        what = f"the file holds {wording.found(value)}, not an object"
        problems.append(Problem("", what, 'a configuration is {"jobs": [...]}'))


def _check(value: object, type_: inspect.Type, place: str, problems: list[Problem]) -> None:
    kind = type_.type if isinstance(type_, inspect.Metadata) else type_
    match kind:
        case inspect.StrType() if isinstance(value, str):
            _text(value, kind, _extra(type_).get("rule"), place, problems)
        case inspect.IntType() if type(value) is int:
            _integer(value, kind, place, problems)
        case inspect.ListType() if isinstance(value, list):
            _list(value, kind, place, problems)
        case inspect.DictType() if isinstance(value, dict):
            _dict(value, kind, place, problems)
        case inspect.StructType(cls=cls) if isinstance(value, dict) and issubclass(cls, Fields):
            _object(value, cls, place, problems)
        case inspect.LiteralType(values=values) if isinstance(value, str):
            if value not in values:
                what, hint = f"{quoted(value)} is not a choice", f"write {wording.choice(values)}"
                problems.append(Problem(place, what, hint))
        case inspect.BoolType() if isinstance(value, bool):
            pass
        case _:
            meta = _meta(type_)
            what = f"wants {wording.wanted(kind, meta)}, not {wording.found(value)}"
            problems.append(Problem(place, what, wording.repair(value, kind, meta)))


def _extra(type_: inspect.Type) -> Mapping[str, Any]:
    return (type_.extra or {}) if isinstance(type_, inspect.Metadata) else {}


def _meta(type_: inspect.Type) -> Mapping[str, Any]:
    described = type_.extra_json_schema if isinstance(type_, inspect.Metadata) else None
    return {**(described or {}), **_extra(type_)}


def _text(
    value: str, kind: inspect.StrType, rule: rules.Rule | None, place: str, problems: list[Problem]
) -> None:
    complaint = rules.readable(value)
    if complaint is None and kind.max_length is not None and len(value) > kind.max_length:
        complaint = f"has {len(value):,} characters", f"at most {kind.max_length} are possible"
    if complaint is None and rule is not None:
        complaint = rule(value)
    if complaint is not None:
        problems.append(Problem(place, *complaint))


def _integer(value: int, kind: inspect.IntType, place: str, problems: list[Problem]) -> None:
    least, most = kind.ge, kind.le
    if (least is not None and value < least) or (most is not None and value > most):
        hint = f"write a whole number from {least} to {most}"
        problems.append(Problem(place, f"{value} is out of range", hint))


def _list(value: list[object], kind: inspect.ListType, place: str, problems: list[Problem]) -> None:
    if kind.min_length is not None and len(value) < kind.min_length:
        problems.append(Problem(place, "is empty", "write at least one"))
    elif kind.max_length is not None and len(value) > kind.max_length:
        hint = f"at most {kind.max_length:,} are possible"
        problems.append(Problem(place, f"has {len(value):,} entries", hint))
    else:
        for index, item in enumerate(value):
            _check(item, kind.item_type, f"{place}[{index}]", problems)


def _dict(
    value: dict[str, object], kind: inspect.DictType, place: str, problems: list[Problem]
) -> None:
    _repeated(value, place, problems)
    for key, item in value.items():
        inner = within(place, key)
        _check(key, kind.key_type, inner, problems)
        _check(item, kind.value_type, inner, problems)


def _object(
    value: dict[str, object], cls: type[Fields], place: str, problems: list[Problem]
) -> None:
    declared = _declared(cls)
    _repeated(value, place, problems)
    meant = _unknown(value, declared, place, problems)
    right: dict[str, object] = {}
    above = f"{place}." if place else ""
    for name, type_ in declared.types.items():
        if name in value:
            before = len(problems)
            _check(value[name], type_, above + name, problems)
            if len(problems) == before:
                right[name] = value[name]
        elif name in declared.required and name not in meant:
            hint = wording.example(_meta(type_))
            problems.append(Problem(above + name, "is missing", hint))
    for keep, drop in cls.spellings:
        if keep in value and drop in value:
            what = f"both dialects mixed: {keep!r} says the same"
            problems.append(Problem(above + drop, what, f"keep {keep!r}"))
    for name, what, hint in cls.conflicts(right):
        problems.append(Problem(above + name, what, hint))


def _repeated(value: dict[str, object], place: str, problems: list[Problem]) -> None:
    if isinstance(value, Repeating):
        problems.extend(
            Problem(within(place, key), "stands here more than once", "keep one of them")
            for key in value.repeated
        )


def _unknown(
    value: dict[str, object], declared: _Declared, place: str, problems: list[Problem]
) -> set[str]:
    """Report the unknown fields; return those that they were probably meant to be."""
    meant = set()
    for key in value:
        if key not in declared.types:
            field, hint = None, ""
            if len(problems) < _SUGGESTIONS:
                field, hint = _suggestion(key, declared.cls)
            problems.append(Problem(within(place, key), "unknown field", hint))
            if field is not None:
                meant.add(field)
    return meant


@lru_cache(maxsize=256)
def _suggestion(key: str, cls: type[Fields]) -> tuple[str | None, str]:
    """The field that an unknown one was meant to be, and what to tell about it."""
    fields = tuple(_declared(cls).types)
    field = names.synonym(key, fields)
    if field is None:
        for other in (QueueFile, JobFile, RetryFile):
            if key in _declared(other).types:
                return None, f"it belongs {other.where}"
        field = names.nearest(key, fields)
    if field is None:
        return None, f"the fields {cls.where} are {', '.join(fields)}"
    remark = names.remark(key)
    return field, f"did you mean {field!r}?" + (f" ({remark})" if remark else "")
