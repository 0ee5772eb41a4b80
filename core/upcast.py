"""Convert event data of older versions to the current one: dict to dict, one version at a time.

Logs are never rewritten, so no entry here is ever removed.
"""

from collections.abc import Callable
from typing import Any

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: dict[tuple[str, int], Upcaster] = {}
"""`(type, v)` to the function that converts data of version `v` to version `v + 1`."""


class NoUpcaster(LookupError):
    """The event type has no such version."""


def upcast(type_: str, v: int, data: dict[str, Any], *, to: int) -> dict[str, Any]:
    """Convert `data` from version `v` to version `to`.

    Raises:
        NoUpcaster: A version in between has no conversion.
    """
    for version in range(v, to):
        if (type_, version) not in UPCASTERS:
            raise NoUpcaster(type_, version)
        data = UPCASTERS[type_, version](data)
    return data
