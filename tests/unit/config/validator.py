"""The part of JSON Schema 2020-12 that the configuration's schema uses."""

import re
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

ANNOTATIONS = {"$schema", "$defs", "title", "description", "examples", "default"}

TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
}

LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minItems": ("array", lambda value, least: len(value) >= least),
    "maxItems": ("array", lambda value, most: len(value) <= most),
    "uniqueItems": ("array", lambda value, _: len(set(value)) == len(value)),
    "minimum": ("integer", lambda value, least: value >= least),
    "maximum": ("integer", lambda value, most: value <= most),
    "maxLength": ("string", lambda value, most: len(value) <= most),
    "pattern": ("string", lambda value, pattern: re.search(pattern, value) is not None),
    "required": ("object", lambda value, names: all(name in value for name in names)),
}
"""Keywords that constrain values of one type and accept all others."""


def valid(value: Any, schema: Schema, root: Schema) -> bool:
    """Whether `value` matches `schema`, with references resolved in `root`."""
    return all(
        _holds(keyword, argument, value, schema, root)
        for keyword, argument in schema.items()
        if keyword not in ANNOTATIONS
    )


def _holds(keyword: str, argument: Any, value: Any, schema: Schema, root: Schema) -> bool:
    if keyword in LIMITS:
        type_, fits = LIMITS[keyword]
        return not TYPES[type_](value) or fits(value, argument)
    members = value if isinstance(value, dict) else {}
    known = schema.get("properties", {})
    match keyword:
        case "type":
            return TYPES[argument](value)
        case "enum":
            return value in argument
        case "$ref":
            return valid(value, root["$defs"][argument.removeprefix("#/$defs/")], root)
        case "allOf":
            return all(valid(value, each, root) for each in argument)
        case "not":
            return not valid(value, argument, root)
        case "items":
            items = value if isinstance(value, list) else []
            return all(valid(item, argument, root) for item in items)
        case "properties":
            return all(
                valid(members[name], argument[name], root) for name in members if name in known
            )
        case "propertyNames":
            return all(valid(name, argument, root) for name in members)
        case "additionalProperties" if argument is False:
            return bool(members.keys() <= known.keys())
        case "additionalProperties":
            return all(
                valid(members[name], argument, root) for name in members.keys() - known.keys()
            )
    raise AssertionError(f"the validator does not know {keyword}")
