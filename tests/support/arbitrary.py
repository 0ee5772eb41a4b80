"""Random events of every type, derived from the types themselves."""

import types
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from msgspec import NODEFAULT, structs

from spawn.core.domain.events import TYPES, Data, Draft, Event, to_event

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)
STAMPS = st.datetimes().map(lambda at: f"{at:%m-%dT%H:%M:%S.%f}").map("2026-{}Z".format)
PLAIN: dict[object, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=12),
    types.NoneType: st.none(),
}


@cache
def of(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for values of a type that events use.

    Raises:
        TypeError: This type was not used by events when this was written.
    """
    if hint in PLAIN:
        return PLAIN[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (Union, types.UnionType):
        return st.one_of(map(of, args))
    if origin is tuple and args[1:] == (...,):
        return st.lists(of(args[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(of(args[0]), of(args[1]), max_size=3)
    if isinstance(hint, type) and hasattr(hint, "__struct_fields__"):
        return _structs(hint)
    if isinstance(hint, type) and hasattr(hint, "_fields"):
        hints = get_type_hints(hint)
        return st.builds(hint, **{name: of(hints[name]) for name in hints})
    raise TypeError(f"no values of {hint} are known")


def _structs(cls: type) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls)
    fields = {field.name: _field(field, hints[field.name]) for field in structs.fields(cls)}
    return st.builds(cls, **fields)


def _field(field: structs.FieldInfo, hint: Any) -> st.SearchStrategy[Any]:
    default = field.default
    if default is NODEFAULT and field.default_factory is not NODEFAULT:
        default = field.default_factory()
    return of(hint) if default is NODEFAULT else st.one_of(st.just(default), of(hint))


def events(cls: type[Data] | None = None) -> st.SearchStrategy[Event[Data]]:
    """Return a strategy for events of one type or of any, with random headers and data."""
    data = st.sampled_from(list(TYPES.values())).flatmap(of) if cls is None else of(cls)
    drafts = st.builds(
        Draft, data, job_id=st.none() | IDS, attempt=st.none() | st.integers(1, 10**6)
    )
    return st.builds(
        to_event,
        drafts,
        seq=st.integers(1, 2**63 - 1),
        queue_id=IDS,
        epoch=st.integers(0, 10**6),
        at=STAMPS,
    )
