"""Lift events of older versions to today's shape: dict to dict, one version at a time.

Logs are never rewritten, so every entry here stays for ever.
"""

from collections.abc import Callable
from typing import Any

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: dict[tuple[str, int], Upcaster] = {}
"""`(type, v)` to the function that turns that version's data into version `v + 1`'s."""


class NoUpcaster(LookupError):
    """There never was such a version."""


def upcast(type_: str, v: int, data: dict[str, Any], *, to: int) -> dict[str, Any]:
    """Turn `data` of version `v` into version `to`.

    Raises:
        NoUpcaster: None starts at a version on the way.
    """
    for version in range(v, to):
        if (type_, version) not in UPCASTERS:
            raise NoUpcaster(type_, version)
        data = UPCASTERS[type_, version](data)
    return data
