"""Size of campaigns: a part always runs, more in the gate, and everything with `SPAWN_SOAK`."""

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

SOAK = os.environ.get("SPAWN_SOAK", "") not in ("", "0")


def scaled(few: int, many: int) -> int:
    """Return a number of tries."""
    return many if SOAK else few


def always_then_gate(few: Sequence[T], more: Sequence[T]) -> list[T]:
    """Return cases: `few` always run, `more` in the gate."""
    return [*few, *(more if SOAK else ())]


def gate_all_but_first(cases: Sequence[Any], count: int = 1) -> list[Any]:
    """Return cases for `parametrize`: the first `count` always run, the others in the gate."""
    return [*cases[:count], *(pytest.param(case, marks=pytest.mark.gate) for case in cases[count:])]
