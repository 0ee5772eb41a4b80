"""How much of a campaign is run: some of it each time, more by the gate, and all of it when
`SPAWN_SOAK` is set."""

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

SOAK = os.environ.get("SPAWN_SOAK", "") not in ("", "0")


def scaled(few: int, many: int) -> int:
    """A number of tries."""
    return many if SOAK else few


def some(few: Sequence[T], more: Sequence[T]) -> list[T]:
    """Cases: those that are always tried, and more of them."""
    return [*few, *(more if SOAK else ())]


def first_of(cases: Sequence[Any], count: int = 1) -> list[Any]:
    """Cases for `parametrize`: the first are always tried, the others by the gate."""
    return [*cases[:count], *(pytest.param(case, marks=pytest.mark.gate) for case in cases[count:])]
